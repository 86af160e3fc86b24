"""Two rules for every stage: `<stage>` asks for all its artifacts, `make_<stage>` makes one."""

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
        conda:
            "../../envs/conda.yaml"
        message:
            "{params.command}: {wildcards.folder}"
        shell:
            "{params.command} --config - {params.arguments} --log {log} <<'YAML'\n{params.settings}YAML"
