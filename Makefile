# One line of work per target; `make help` lists them.
VENV ?= .venv
PY := $(VENV)/bin/python
LAB := PYTHONPATH=lab $(PY) -m virtfn_lab
RELEASE := PYTHONPATH=lab:release $(PY) -m virtfn_release
DOCS := PYTHONPATH=lab:release $(PY) -m virtfn_release.docs

.PHONY: help setup test lint rooms unit kernel cluster pressure second-cluster lifecycle consumers conformance stubs crds clean lab-up lab-down bench prove demo bench-fleet kubectl lock archive images sbom licences changelog dashboard chart-readme chart-goldens

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready ## make the virtual environment for lint and tests

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	./setup-venv $(VENV)
	@touch $@

test: lint unit kernel cluster ## everything that must pass, cheap tests first

lint: setup rooms ## style, types, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

rooms: setup
	@PYTHONPATH=release $(PY) -m virtfn_release.rooms

unit: setup ## unit tests and scenarios; contract and faults on the fake kernel
	$(PY) -m pytest -n auto --dist worksteal tests/unit tests/scenarios tests/contract tests/faults tests/test_house.py

kernel: setup ## the contract on Linux 6.1 and a sample on 6.12, in emulated machines (VIRTFN_KERNEL=6.12 or cdev: all on that one)
	$(PY) -m pytest -s tests/kernel

cluster: setup ## a real cluster in the lab: chart to pod, restarts, uninstall (half an hour)
	$(PY) -m pytest -s tests/cluster

pressure: setup ## a cluster under kills, full disks and clock jumps; then its audit log (a quarter of an hour)
	VIRTFN_LONG=1 $(PY) -m pytest -s tests/cluster/test_under_pressure_killed.py \
	  tests/cluster/test_under_pressure_disk_and_clock.py tests/cluster/test_privileges_audit.py

second-cluster: setup ## a kubelet with another root-dir, functions that share a group, a reboot (10 minutes; VIRTFN_LONG=1: 13 reboots)
	VIRTFN_SECOND=1 $(PY) -m pytest -s tests/cluster/test_kubelet_root_dir.py tests/cluster/test_shared_group.py \
	  tests/cluster/test_reboot.py

lifecycle: setup ## install, upgrade, rollback, uninstall, migration; a leader killed 20 times, etcd restored (half an hour)
	VIRTFN_LIFECYCLE=1 $(PY) -m pytest -s tests/cluster/test_lifecycle_*.py

consumers: setup ## DPDK, guests and netdevs in pods of a cluster, with VFs and NVMe (a quarter of an hour)
	VIRTFN_CONSUMERS=1 $(PY) -m pytest -s tests/cluster/test_consumer_*.py

conformance: setup ## the kubelet's own device-plugin cases, and an upgrade of the plugin (three quarters of an hour)
	VIRTFN_LONG=1 $(PY) -m pytest -s tests/cluster/test_kubelet_cases_*.py tests/cluster/test_upgrades.py

lab-up: setup ## start a cluster with emulated SR-IOV hardware
	$(LAB) up

lab-down: setup ## stop that cluster and remove what it left
	$(LAB) down

kubectl: setup ## run kubectl in the lab: make kubectl ARGS='get svn'
	@$(LAB) kubectl $(ARGS)

bench: setup ## print figures, each beside its floor or a peer (about half an hour)
	PYTHONPATH=lab:host:deviceplugin:tests/bench:tests/fakes $(PY) tests/bench/__main__.py

bench-fleet: setup ## the controller with a real API server and 500, 1,000, 5,000 nodes (an hour; SIZES='500' for only those)
	PYTHONPATH=lab:host:operator:tests/bench $(PY) tests/bench/fleet.py $(SIZES)

prove: setup ## run the long proofs (hours; PROOFS='histories contested' for only those)
	GRPC_VERBOSITY=NONE PYTHONPATH=lab:host:operator:deviceplugin:kubectl:tests/fakes $(PY) tests/prove/__main__.py $(PROOFS)

demo: setup ## show kubectl apply to a virtual machine with its VF in a pod, on a bare machine
	PYTHONPATH=lab $(PY) -m virtfn_lab.demo

lock: $(VENV)/bin/uv ## write requirements/ from pyproject.toml (UPGRADE=--upgrade for the newest versions)
	$(RELEASE) lock $(UPGRADE)

# Not `setup`: that builds our code from the lock files, which do not have a new build requirement yet.
$(VENV)/bin/uv:
	./setup-venv $(VENV)

archive: setup ## write dist/virtfn.pyz for packaging/virtfn-boot.service, and dist/kubectl-virtfn with its krew manifest
	$(RELEASE) archive

images: setup ## build the four images into dist/images, as root (BASE=pinned or a name; default: made of Debian's packages)
	$(RELEASE) images --base='$(BASE)'

.PHONY: release push stranger draft
release: setup ## write everything of VERSION=1.2.3 into dist/release, as root (REGISTRY=host/path; docs/releasing.md)
	$(RELEASE) release --version='$(VERSION)' --registry='$(REGISTRY)' --base='$(BASE)' $(if $(IMAGES),--images='$(IMAGES)') $(if $(DIRTY),--dirty)

push: setup ## push images and chart of dist/release to REGISTRY=host/path; print their digests (PLAIN_HTTP=1: no TLS)
	$(RELEASE) push --registry='$(REGISTRY)' $(if $(PLAIN_HTTP),--plain-http)

stranger: setup ## type the README's quick start in a lab that pulls dist/release from a registry (docs/releasing.md)
	PYTHONPATH=lab:release $(PY) -m virtfn_release.stranger $(PAGE)

draft: ## make a draft of a GitHub release of dist/release, for VERSION=1.2.3 whose tag is there; needs gh
	gh release create 'v$(VERSION:v%=%)' dist/release/* --draft --verify-tag --title 'virtfn $(VERSION:v%=%)' --notes-file dist/release/notes.md

sbom: setup ## write a bill of materials (CycloneDX) of each image into dist/sbom; builds missing images
	$(RELEASE) sbom --base='$(BASE)'

licences: setup ## write docs/licences.md from the images; builds missing images
	$(RELEASE) licences --base='$(BASE)'

.PHONY: reference docs
reference: setup ## write docs/reference and the list of decisions from code, CRDs and chart; a test compares them
	$(DOCS) reference

docs: setup dist/docs-venv/.ready ## build the site of the docs into dist/site, with every link and anchor checked
	$(DOCS) site

dist/docs-venv/.ready: requirements/docs.txt
	python3 -m venv --clear dist/docs-venv
	dist/docs-venv/bin/pip install --quiet --require-hashes --only-binary :all: --no-deps --requirement requirements/docs.txt
	touch $@

dashboard: setup ## draw docs/dashboard.svg, the chart's Grafana dashboard with recorded data
	$(RELEASE) dashboard

changelog: setup ## print the notes of the next release; VERSION=1.2.3 moves them from changes.d into CHANGELOG.md
	@$(VENV)/bin/towncrier build $(if $(VERSION),--yes --version '$(VERSION)',--draft --version unreleased)

stubs: setup ## generate the kubelet's wire types from their .proto files
	for root in deviceplugin operator; do for proto in $$(cd $$root && find . -name '*.proto'); do \
	  $(PY) -m grpc_tools.protoc -I $$root --python_out=$$root --pyi_out=$$root --grpc_python_out=$$root $$proto; done; done

chart-readme: setup ## write charts/virtfn/README.md from the chart's values, with helm-docs; a test compares them
	$(LAB).chart_files readme

chart-goldens: setup ## render the eight sets of values in tests/cluster/chart_goldens anew; a test compares them
	$(LAB).chart_files goldens

crds: ## copy the CRDs into the chart; a test compares them
	cp crds/*.yaml charts/virtfn/crds/

clean: ## remove what builds left in the checkout, and the virtual environment
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
