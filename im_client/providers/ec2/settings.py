"""What may be set of EC2, beside what all clouds share."""

from im_client.providers.cloud.settings import CloudSettings

__all__ = ["Ec2Settings"]


class Ec2Settings(CloudSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of the provider `ec2`."""

    region: str = ""
    """"": of the auth line, then AWS_REGION, AWS_DEFAULT_REGION and AWS's own configuration file."""
    endpoint: str = ""
    """Address of an API that speaks EC2's language, with its path if it has one; "": Amazon's own."""
    sizes: tuple[str, ...] = ()
    """Instance types that may be chosen, with wildcards (`t3.*`); none: all of the current generation."""
    owners: tuple[str, ...] = ()
    """Accounts whose images are taken by name; none: this account, Amazon and the distributions' own."""
    vpc: str = ""
    """Where machines go; "": the default VPC, and where there is none, one that is made."""
    subnet: str = ""
    elastic_ip: bool = False
    """Whether a public address is one that stays when the machine is stopped."""
    volume_type: str = "gp3"
    """Of root disks and volumes where the template names none."""
    instance_profile: str = ""
    """Name of an IAM role that machines may take on."""
    spot_fallback: bool = True
    """Whether a preemptible machine becomes an ordinary one where there is no spot capacity."""
