"""Grade a submission by a rubric: run it in isolation, compare it with our own code, and say what to mend.

python -m stages.grade --config FILE --submission DIR --out DIR [--log FILE]
python -m stages.grade try DIR --rubric FILE [--seed N]
python -m stages.grade table --artifact DIR [--artifact DIR ...] --out FILE
python -m stages.grade template DIR
python -m stages.grade reference DIR

The second shows on the terminal what the first writes down. The third puts graded submissions into one table, FILE.csv and
FILE.html. The fourth begins a submission, the fifth writes one that is our own code.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from stages.lm import artifacts, script
from stages.lm.errors import UserError
from stages.lm.grading.code_report import code_report
from stages.lm.grading.examine import examine
from stages.lm.grading.page import student_page
from stages.lm.grading.results import gradescope, headline, readme
from stages.lm.grading.rubric import check_names
from stages.lm.grading.settings import GradeSettings
from stages.lm.grading.submission import content
from stages.lm.settings import parse

COMMANDS = ("try", "table", "template", "reference")


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        # Loaded by name, they are no part of this stage's code version: they make no artifact.
        commands = import_module("stages.lm.grading.commands")
        sys.exit(commands.run(sys.argv[1], sys.argv[2:]))
    args = script.arguments("grade", __doc__, extend=add_options)
    settings = parse(GradeSettings, args.settings, args.config)
    check_names(settings.rubric, args.config)
    submission: Path = args.options.submission
    if not submission.is_dir() or content(submission) != settings.content:
        raise UserError(f"{submission}: is not the submission that these settings name; plan the grading again")
    with artifacts.writing(args.out, "grade", settings.resolved(), {}) as draft:
        draft.seed, draft.volatile = settings.seed, {"times.json"}
        marks = examine(submission, settings.rubric, settings.seed)
        report = code_report(submission, settings.rubric.ready_made)
        draft.write_json("results.json", gradescope(settings.rubric, marks, report, settings.seed))
        draft.write_text("page.html", student_page(settings.submission, settings.rubric, marks, report))
        draft.write_json("times.json", marks.measured)
        draft.write_text("README.md", readme(settings.submission, settings.rubric, marks))
    script.log.info("%s", headline(settings.rubric, marks))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--submission", required=True, type=Path, metavar="DIR", help="what a student handed in")


if __name__ == "__main__":
    script.run(main)
