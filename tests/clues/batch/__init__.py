"""A cluesd that serves another batch system (`cluster: command`) by a site's programs, as a process that is killed."""
