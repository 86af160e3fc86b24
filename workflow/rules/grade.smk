"""A folder of submissions to a grade for each and one table of all; what has not changed is not graded again.

    snakemake grade --cores 2 --config submissions=FOLDER rubric=config/grading/project-1.1.yaml grading_seed=7
"""

# Nothing is read of submissions unless they are named: other runs know of no grades.
graded = understood_grades() if grading else {}
asked_for.update(graded)
class_table = f"grades/{gradings.table_name(grading)}"
if workflow.is_main_process:
    for made in graded.values():
        set_damaged_aside(made.path)


def a_grading(_wildcards):
    """Nothing to wait for; ends a run that was given no submissions."""
    if not graded:
        understood_grades()
    return []


rule make_grade:
    output:
        "results/grade/{folder}/manifest.json",
    log:
        "logs/grade/{folder}.log",
    params:
        submission=lambda wildcards: shlex.quote(node(wildcards).files[0]),
        settings=settings,
        code=code,
    threads: threads
    resources:
        **{name: resource(name) for name in RESOURCES},
    conda:
        "../../envs/conda.yaml"
    container:
        checked_config.execution.container if in_containers else None
    message:
        "{rule}: {wildcards.folder}"
    shell:
        "exec python -m stages.grade --config - --submission {params.submission} --out results/grade/{wildcards.folder}"
        " --log {log} <<'YAML'\n{params.settings}YAML"


rule grade:
    input:
        a_grading,
        [manifest(made) for made in graded.values()],
    output:
        f"{class_table}.csv",
        f"{class_table}.html",
    params:
        given=" ".join(f"--artifact {made.path}" for made in graded.values()),
    localrule: True
    message:
        f"the table of {class_table}"
    shell:
        f"python -m stages.grade table {{params.given}} --out {class_table}"
