"""From a config file to jobs: the config's form, the plan of artifacts, and Snakemake's rules over it."""
