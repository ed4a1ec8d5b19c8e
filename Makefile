# Two commands: `make atlas` builds the demo atlas into site/, `make test` passes the tests.
.PHONY: atlas test lint lock vendor clean
PYTHON ?= python3
export PYTHON

atlas: .venv/ready
	.venv/bin/atlas demo

test: .venv/ready lint
	.venv/bin/python tools/chromium.py
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/ready: requirements.lock requirements-model.lock pyproject.toml tools/venv
	tools/venv

# Newest versions of everything, into the lock file.
lock:
	tools/lock

# Fetches the vendored browser scripts again, the page's and the tests', at the versions and checksums beside them.
vendor:
	tools/vendor

clean:
	rm -rf .venv work site
