"""`masterx train policy` and `masterx evaluate policy` on a decision log."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from models.learner.config import LearnerSettings
from models.learner.recommending.serving.settings import RecommendingSettings
from models.learner.rules import PolicyError
from tests.app.cli.test_commands import ROOT, masterx
from tests.models.learner.recommending.build import Learner, policy

PRIORS, TRUTH = [0.6, 0.4], [0.3, 0.8]
CATALOGUE = "".join(
    f'[[outcomes]]\nname = "{name}"\nreward = {reward}\nweight = 1.0\n'
    for name, reward in [("helpful", 1.0), ("not_helpful", 0.0)]
) + "".join(
    f'[[actions]]\nname = "a{index}"\naction = "do-{index}"\nreason = "r"\n'
    f"prior = {{ mean = {mean}, strength = 10 }}\n"
    'when = [[{ fact = "valence", below = 1.0 }]]\n'
    for index, mean in enumerate(PRIORS)
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rng, file = random.Random(3), tmp_path / "log.jsonl"
    of = policy(PRIORS, places=1, keep=0, explore=0.5, person_strength=1e9)
    people = [Learner(f"l{number}", TRUTH, rng) for number in range(60)]
    lines = [one.step(of)[1].json_bytes() for one in people for _ in range(10)]
    file.write_bytes(b"\n".join(lines))
    return file


def run(*arguments: str, folder: Path, learned: str = "") -> subprocess.CompletedProcess[str]:
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE)
    return masterx(
        *arguments,
        MASTERX_LEARNER__RECOMMENDING__FILE=str(catalogue),
        MASTERX_LEARNER__RECOMMENDING__LEARNED=learned,
    )


OF_ANOTHER_CONTEXT = json.dumps(
    {
        "format": 1,
        "catalogue": "",
        "facts": [{"fact": "focus", "low": 0, "high": 1}],
        "actions": {},
        "decisions": 0,
        "answers": 0,
        "learners": 0,
    }
)


def test_what_is_trained_on_a_log_is_compared_with_the_priors(log: Path, tmp_path: Path) -> None:
    artefact = tmp_path / "policy.json"
    trained = run("train", "policy", str(log), "--out", str(artefact), folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "2 actions learned from 600 answers of 60 learners" in trained.stdout

    evaluated = run(
        "evaluate", "policy", str(log), "--learned", str(artefact), "--json", folder=tmp_path
    )

    assert evaluated.returncode == 0, evaluated.stderr
    figures = json.loads(evaluated.stdout)
    assert (figures["n"], figures["learners"], figures["answers"]) == (600, 60, 600)
    assert set(figures["policies"]) == {"prior", str(artefact)}
    for name, truth in (("prior", TRUTH[0]), (str(artefact), TRUTH[1])):
        for estimator in ("ips", "doubly_robust"):
            estimate = figures["policies"][name][estimator]
            assert estimate["low"] <= truth <= estimate["high"]
            assert estimate["low"] <= estimate["value"] <= estimate["high"]


@pytest.mark.parametrize("content", [None, OF_ANOTHER_CONTEXT])
def test_it_can_be_trained_anew_while_the_settings_name_what_is_old_or_gone(
    log: Path, tmp_path: Path, content: str | None
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    if content is not None:
        old.write_text(content)

    trained = run("train", "policy", str(log), "--out", str(new), folder=tmp_path, learned=str(old))
    assert trained.returncode == 0, trained.stderr
    assert f"MASTERX_LEARNER__RECOMMENDING__LEARNED={new}" in trained.stdout
    evaluated = run(
        "evaluate",
        "policy",
        str(log),
        "--learned",
        str(new),
        "--json",
        folder=tmp_path,
        learned=str(old),
    )

    assert evaluated.returncode == 0, evaluated.stderr
    assert "left out, named by the settings" in evaluated.stderr
    assert set(json.loads(evaluated.stdout)["policies"]) == {"prior", str(new)}
    with pytest.raises(PolicyError):
        LearnerSettings(
            recommending=RecommendingSettings(file=tmp_path / "catalogue.toml", learned=old)
        ).load()


def test_where_nothing_was_learned_nothing_is_said_to_use(tmp_path: Path, log: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(log.read_bytes().splitlines()[:10]))
    trained = run("train", "policy", str(few), "--out", str(tmp_path / "p.json"), folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "MASTERX_LEARNER__RECOMMENDING__LEARNED" not in trained.stdout
    assert "at least 5 learners" in trained.stdout


def test_the_table_names_every_policy(log: Path, tmp_path: Path) -> None:
    shown = run("evaluate", "policy", str(log), folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "600 decisions, 60 learners" in shown.stdout
    assert "prior" in shown.stdout


def test_a_file_that_is_no_log_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"decision": 1}\n')
    for command in ("train", "evaluate"):
        failed = run(command, "policy", str(file), folder=tmp_path)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"error: {file}:1: ")
    missing = run("evaluate", "policy", str(tmp_path / "nowhere"), folder=tmp_path)
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr


def test_where_it_cannot_write_it_says_so_in_one_line(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("here before")
    for out in (tmp_path, Path(), file / "policy.json", Path("/proc/nowhere/policy.json")):
        failed = run("train", "policy", str(log), "--out", str(out), folder=tmp_path)
        assert failed.returncode in (1, 2)
        assert "Traceback" not in failed.stderr
        said = " ".join(failed.stderr.replace("│", " ").split())
        assert "is a directory" in said or "cannot be written" in said
    for out in (tmp_path, tmp_path / "nowhere" / "log.jsonl", file / "log.jsonl"):
        failed = run("policy", "export", str(out), folder=tmp_path)
        assert failed.returncode in (1, 2)
        assert "Traceback" not in failed.stderr
        said = " ".join(failed.stderr.replace("│", " ").split())
        assert "is a directory" in said or "cannot be written" in said
    assert file.read_text() == "here before"
    assert not list(tmp_path.rglob("*.new"))


def test_an_artefact_in_a_file_named_prior_is_not_the_priors(log: Path, tmp_path: Path) -> None:
    trained = run("train", "policy", str(log), "--out", str(tmp_path / "prior"), folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    # Named as somebody in that folder would.
    found = subprocess.run(
        [
            sys.executable,
            *["-m", "app.cli", "evaluate", "policy", "--learned", "prior", "--json"],
            str(log),
        ],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "MASTERX_LEARNER__RECOMMENDING__FILE": str(tmp_path / "catalogue.toml"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    assert set(json.loads(found.stdout)["policies"]) == {"prior", str(tmp_path / "prior")}
