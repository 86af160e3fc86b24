"""A folder of submissions to a grade for each and one table of all; what has not changed is not graded again.

    snakemake grade --cores 2 --config submissions=FOLDER rubric=config/grading/project-1.1.yaml grading_seed=7
"""

# Nothing is read of submissions unless they are named: other runs know of no grades.
graded = understood_grades() if grading else {}
class_table = f"grades/{gradings.slug(Path(str(grading.get('submissions', ''))).resolve().name)}"


def a_grading(_wildcards):
    """Nothing to wait for; ends a run that was given no submissions."""
    if not graded:
        understood_grades()
    return []


def grade_of(wildcards):
    return graded[wildcards.folder.rpartition("-")[2]]


rule make_grade:
    output:
        "results/grade/{folder}/manifest.json",
    log:
        "logs/grade/{folder}.log",
    params:
        submission=lambda wildcards: shlex.quote(grade_of(wildcards).files[0]),
        settings=lambda wildcards: yaml.safe_dump(dict(grade_of(wildcards).settings), sort_keys=False, allow_unicode=True),
        code=lambda wildcards: version("grade", ()),
    resources:
        mem_mb=8192,
        runtime=20,
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
        grades=[manifest(node) for node in graded.values()],
    output:
        f"{class_table}.csv",
        f"{class_table}.html",
    params:
        artifacts=" ".join(f"--artifact results/{node.id}" for node in graded.values()),
    localrule: True
    message:
        "the table of {class_table}"
    shell:
        "python -m stages.grade table {params.artifacts} --out {class_table}"
