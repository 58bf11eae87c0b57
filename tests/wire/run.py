#!/usr/bin/env python3
"""Runs the wire tests, a few files at a time: run.py [-j N] [FILE or FILE.Class.test ...]"""
import pathlib
import sys

from suite import main

if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parent, jobs=3))
