"""Two rules for every stage: `<stage>` asks for all its artifacts, `make_<stage>` makes one.

Estimates come first among the jobs that are ready: they are there to be read before a training starts.
"""

for stage in STAGES:

    rule:
        name:
            stage
        input:
            manifests(stage),

    rule:
        name:
            f"make_{stage}"
        input:
            inputs,
        output:
            f"results/{stage}/{{folder}}/manifest.json",
        log:
            f"logs/{stage}/{{folder}}.log",
        params:
            command=f"python -m stages.{stage}",
            arguments=arguments,
            settings=settings,
            code=code,
        threads: threads
        priority: 1 if stage == "estimate" else 0
        conda:
            "../../envs/conda.yaml"
        message:
            "{params.command}: {wildcards.folder}"
        shell:
            "{params.command} --config - {params.arguments} --log {log} <<'YAML'\n{params.settings}YAML"
