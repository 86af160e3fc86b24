"""From a finished run to a file of what it claims, and from such a file to whether it holds."""


rule claim:
    input:
        wanted(STAGES),
    output:
        f"claims/{config['name']}.yaml",
    params:
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    localrule: True
    message:
        "what {config[name]} claims"
    shell:
        "python -m workflow.claims write {output} <<'YAML'\n{params.config}YAML"


def a_claim(_wildcards):
    """Nothing to wait for; ends a run that was given no claim."""
    if not claimed:
        sys.stderr.write("error: it takes a claim to be tried; name it with --config claim=FILE\n")
        sys.exit(2)
    return []


rule audit:
    input:
        a_claim,
    localrule: True
    message:
        "does the claim hold of what lies here?"
    shell:
        f"python -m workflow.claims audit {shlex.quote(str(claimed or ''))}"


rule reproduce:
    input:
        a_claim,
        wanted(STAGES),
    localrule: True
    message:
        "does the claim hold?"
    shell:
        f"python -m workflow.claims check {shlex.quote(str(claimed or ''))}"
