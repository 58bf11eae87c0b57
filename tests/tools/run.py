#!/usr/bin/env python3
"""Runs the tests of the operator's commands: run.py [-j N] [FILE or FILE.Class.test ...]"""
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "wire"))
from suite import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(FOLDER, jobs=2))
