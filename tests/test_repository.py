"""What stands at the root for tools and people: metadata, citation, changelog, continuous integration."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from defdetr_ref.cli.notebooks import REPOSITORY

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # of Keep a Changelog


def test_the_address_is_the_same_everywhere():
    addresses = [*PROJECT["urls"].values(), CITATION["repository-code"]]
    assert set(PROJECT["urls"]) == {"Homepage", "Documentation", "Issues", "Changelog"}
    assert all(f"{address}/".startswith(f"{REPOSITORY}/") for address in addresses)
    assert REPOSITORY in CHANGELOG


@pytest.mark.parametrize("name", ["Documentation", "Changelog"])
def test_addresses_of_files_lead_to_files(name):
    path = urlsplit(PROJECT["urls"][name]).path.partition("/blob/main/")[2]
    assert (ROOT / path).is_file()


def test_the_package_says_what_it_runs_on():
    classifiers = PROJECT["classifiers"]
    assert sorted(classifiers) == classifiers and not any("License" in one for one in classifiers)  # `license` says it
    versions = [one.rpartition(" ")[2] for one in classifiers if one.startswith("Programming Language :: Python :: 3.")]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    assert PROJECT["authors"] and PROJECT["keywords"]


def test_the_citation_has_what_its_format_asks_for():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["version"] == PROJECT["version"] and CITATION["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]
    (paper,) = CITATION["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["year"] == 2021
    assert [author["family-names"] for author in paper["authors"]] == ["Zhu", "Su", "Lu", "Li", "Wang", "Dai"]
    assert "2010.04159" in paper["url"] and "2010.04159" in paper["identifiers"][0]["value"]


def test_the_changelog_keeps_its_form():
    assert CHANGELOG.startswith("# Changelog\n") and "keepachangelog.com" in CHANGELOG
    versions = re.findall(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", CHANGELOG, re.MULTILINE)
    assert versions[0] == ("Unreleased", "") and all(date for _, date in versions[1:])
    assert CHANGELOG.count("\n## ") == len(versions)
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= SECTIONS
    assert all(f"\n[{version}]: https://" in CHANGELOG for version, _ in versions)


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATH = re.compile(r"`([\w.]+(?:/[\w.]+)*\.(?:py|md|toml|txt|ipynb))`")
PLACEHOLDER = re.compile(r"(?:^|[/_])n?(?:NN|name)\b|NN_")


def test_what_contributors_are_sent_to_is_there():
    paths = [path for path in PATH.findall(CONTRIBUTING) if not PLACEHOLDER.search(path)]
    assert len(paths) > 30
    gone = [path for path in paths if not (ROOT / path).is_file()]
    assert not gone, f"CONTRIBUTING.md names {', '.join(gone)}, where no file is: name what is there now"


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_readme_lists_every_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [f"| [{path.name[:2]}](notebooks/{path.name}) |" for path in NOTEBOOKS]
    missing = [row for row in missing if row not in readme]
    assert not missing, f"README.md's table of notebooks lacks the rows that begin with {' and '.join(missing)}"


@pytest.mark.parametrize(("path", "following"), list(pairwise(NOTEBOOKS)), ids=lambda path: path.name)
def test_every_notebook_leads_to_the_next(path, following):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    end = "".join(cells[-1]["source"]).partition("**Next:**")[2]
    assert f"]({following.name})" in end, f"end {path.name} with a line **Next:** [NN · title]({following.name})"
    says = end.partition(f"]({following.name})")[2]
    assert len(says.split()) > 5, f"{path.name}: say behind the link in a sentence what comes, it says {says!r}"


def test_commands_of_contributors_are_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", CONTRIBUTING, re.MULTILINE))
    assert {"test", "test-fast", "test-random", "notebooks"} <= named
    assert named <= targets, f"CONTRIBUTING.md: the Makefile has no {' and no '.join(sorted(named - targets))}"


@pytest.mark.skipif(os.name == "nt" or shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize("target", ["test", "test-notebooks"])
def test_notebooks_are_compared_as_nobody_has_solved_them(target, tmp_path):
    """Also for a contributor who has: an environment whose Python tells how it is called."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    tells = 'echo "progress=[$DEFDETR_PROGRESS] threads=[$OMP_NUM_THREADS] $*"'
    python.write_text(f"#!/bin/sh\n{tells}\n", encoding="utf-8", newline="\n")
    python.chmod(0o755)
    (tmp_path / ".test").touch()
    solved = {**os.environ, "DEFDETR_PROGRESS": "solved.json", "MAKEFLAGS": ""}
    command = ["make", "--silent", target, f"VENV={tmp_path}", "NOTEBOOKS=a.ipynb b.ipynb"]
    done = subprocess.run(command, cwd=ROOT, env=solved, capture_output=True, text=True)
    *_, last = done.stdout.splitlines()
    assert last.startswith("progress=[] threads=[1] -m pytest "), last
    assert "--nbval" in last and last.endswith(" a.ipynb b.ipynb"), last


# ------------------------------------------------------------------------------------------ continuous integration

JOBS = WORKFLOW["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
MATRIX = JOBS["nightly"]["strategy"]["matrix"]["command"]
COMMANDS = [*(step["run"] for step in STEPS if "run" in step), *MATRIX]


def test_jobs_and_systems():
    assert set(JOBS) == {"all", "fast", "nightly"}
    assert JOBS["fast"]["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    triggers = WORKFLOW[True]  # YAML 1.1 reads the key `on` as a truth value
    assert {"push", "pull_request", "schedule"} <= set(triggers)
    pythons = {step["with"]["python-version"] for step in STEPS if "python-version" in step.get("with", {})}
    assert {f">={version}" for version in pythons} == {PROJECT["requires-python"]}


def test_actions_are_pinned_by_major_version():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", one) for one in used)


def test_commands_name_what_is_there():
    assert ".ci/run" in COMMANDS and os.access(ROOT / ".ci" / "run", os.X_OK)
    installs = [command for command in COMMANDS if "pip install" in command]
    for command in installs:
        constraints, extra = re.fullmatch(r'python -m pip install -c (\S+) -e "\.\[(\w+)\]"', command).groups()
        assert (ROOT / constraints).is_file() and extra in PROJECT["optional-dependencies"]
    tests = [command for command in COMMANDS if "pytest" in command]
    for command in tests:
        assert (ROOT / command.split()[-1]).is_dir(), command
    assert len(installs) == 2 and len(tests) == 3
    assert 'python -m pytest -m "not slow" tests' in tests
    assert 'pytest -m "not slow" tests' in (ROOT / "Makefile").read_text(encoding="utf-8")  # the same as make test-fast


def test_makefile_and_workflow_agree_on_the_random_order():
    assert "python -m pytest -p randomly tests" in COMMANDS
    assert "pytest -p randomly" in (ROOT / "Makefile").read_text(encoding="utf-8")
