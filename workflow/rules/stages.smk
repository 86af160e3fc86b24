"""Two rules for every stage: `<stage>` asks for all its artifacts, `make_<stage>` makes one.

Estimates come first among the jobs that are ready: they are there to be read before a training starts, and say what it should ask
a cluster for. An estimate is no input of its training, since another one is no reason to train again.

`exec` lets the script be the job's own process, or the launcher that starts it, so that a signal to the job reaches it and nothing
dies around it.
"""


for stage in STAGES:

    rule:
        name:
            stage
        input:
            wanted([stage]),
        localrule: True

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
            around=around,
            launched=launched,
            settings=settings,
            code=code,
        threads: threads
        priority: 1 if stage == "estimate" else 0
        resources:
            **{name: resource(name) for name in RESOURCES},
        conda:
            "../../envs/conda.yaml"
        container:
            checked_config.execution.container if in_containers else None
        message:
            "{rule}: {wildcards.folder}"
        shell:
            "exec {params.around}python -m workflow.launch --nodes {resources.nodes} --processes {resources.processes}"
            " --cpus {resources.cpus_per_task} -- {params.launched} <<'YAML'\n{params.settings}YAML"


# What a round of a sweep or of a scaling study asks for is known when it is made: then Snakemake asks the plan again.
checkpoint next_round:
    input:
        "results/{stage}/{folder}/manifest.json",
    output:
        "state/{stage}/{folder}/next.json",
    wildcard_constraints:
        stage="sweep|scaling",
    localrule: True
    message:
        "the next round of {wildcards.folder}"
    shell:
        "cp results/{wildcards.stage}/{wildcards.folder}/next.json {output}"
