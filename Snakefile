"""Raw text to a trained, evaluated, explained language model.

    snakemake --cores 2                                          the embedded default, config/config.yaml
    snakemake --cores 2 --configfile config/tinystories.yaml     another config
    snakemake --cores 2 estimate                                 one stage and what it needs
"""

from snakemake.utils import min_version

min_version("9.0")

if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/stages.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/grade.smk"


rule all:
    input:
        wanted(STAGES),
    localrule: True
    default_target: True


onerror:
    end_with_errors()
