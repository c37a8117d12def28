"""Where our own content is found."""

from infracore.content import content_folder, content_path


def test_the_content_lies_beside_the_packages_of_a_checkout() -> None:
    assert (content_folder() / "tosca_templates" / "types" / "custom_types.yaml").is_file()


def test_a_content_file_is_found_and_nothing_outside_of_it() -> None:
    assert content_path("tosca_templates/types/custom_types.yaml") is not None
    assert content_path("tosca_templates/types/absent.yaml") is None
    assert content_path("tosca_templates/types") is None
    assert content_path("../../../../../../etc/passwd") is None
    assert content_path("/etc/passwd") is None
