"""Small data files in MathDial's layout, with a rule that can be learned."""

from __future__ import annotations

import json
import random
from pathlib import Path

from models.tutor.moves.serving.dialogue import MOVES, Move

WORDS = {
    Move.FOCUS: "look at this step , how much is that part",
    Move.PROBING: "why did you do this , explain it to me",
    Move.TELLING: "you must add these numbers first",
    Move.GENERIC: "well said , thank you",
}
NEXT = {
    Move.GENERIC: Move.PROBING,
    Move.PROBING: Move.FOCUS,
    Move.FOCUS: Move.TELLING,
    Move.TELLING: Move.GENERIC,
}


def mathdial_row(number: int, moves: list[Move], **changes) -> dict:
    said = []
    for move in moves:
        said += [f"Teacher: ({move}){WORDS[move]}", "Student: I think it is 7."]
    return {
        "qid": number,
        "question": f"Problem {number}: how many apples?",
        "student_incorrect_solution": "3 + 4\n 7",
        "ground_truth": "3 * 4 = 12\n 12",
        "conversation": "|EOM|".join(said),
    } | changes


def in_turn(count: int, start: int) -> list[Move]:
    """Each move is followed by its NEXT."""
    moves = [MOVES[start % 4]]
    while len(moves) < count:
        moves.append(NEXT[moves[-1]])
    return moves


def at_random(count: int, source: random.Random) -> list[Move]:
    return [source.choice(MOVES) for _ in range(count)]


def write_mathdial(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def data_folder(root: Path, dialogues: list[list[Move]]) -> Path:
    folder = root / "tutor_moves"
    folder.mkdir(parents=True)
    write_mathdial(
        folder / "mathdial.jsonl", [mathdial_row(i, moves) for i, moves in enumerate(dialogues)]
    )
    return root
