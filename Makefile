# make run    raw text to a report in one command, with the embedded default config (no network beyond the package index)
# make test   the whole test suite, with linters and type checks
# make env    the virtual environment alone
# make lock   pin anew what envs/*.in ask for

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
CONFIG ?= config/config.yaml
PIP_FLAGS ?=
BIN := .venv/bin

.PHONY: run test env lock

# What a killed run had started may take some seconds to end, and holds the lock until then.
run: env
	@mkdir -p state
	@flock --timeout 20 --conflict-exit-code 75 state/run.lock \
		$(BIN)/snakemake --workflow-profile workflow/profiles/default --cores $(CORES) --configfile $(CONFIG) \
		|| { code=$$?; [ $$code -ne 75 ] || echo "error: another 'make run' is at work in this folder" >&2; exit $$code; }
	@$(BIN)/python -m workflow.headline $(CONFIG)

# OMP_WAIT_POLICY: threads that wait sleep, since the two processes that test share the cores with all that they start.
test: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_WAIT_POLICY=passive $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

env: .venv/installed

.venv/installed: envs/cpu.txt envs/slurm.txt envs/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r envs/dev.txt
	@touch $@

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_FLAGS) $(shell grep ^torch envs/cpu.in)
	.venv-lock/bin/python -m pip install --quiet $(PIP_FLAGS) -r envs/cpu.in
	.venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -Ev '^(nvidia|cuda|triton)' > envs/cpu.txt
	.venv-lock/bin/python -m pip install --quiet $(PIP_FLAGS) -r envs/slurm.in
	{ echo "-r cpu.txt"; .venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -Ev '^(nvidia|cuda|triton)' \
		| grep -vxFf envs/cpu.txt; } > envs/slurm.txt
	.venv-lock/bin/python -m pip install --quiet $(PIP_FLAGS) -r envs/dev.in
	{ echo "-r slurm.txt"; .venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -Ev '^(nvidia|cuda|triton)' \
		| grep -vxFf envs/cpu.txt -f envs/slurm.txt; } > envs/dev.txt
	rm -rf .venv-lock
