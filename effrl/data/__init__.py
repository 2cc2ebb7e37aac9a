"""Rows from files, folders, hubs and tasks. ``reader`` is the entrance: a stream of rows, so that a bad one has a line
number; the others read one format each, ``rows`` splits a record into a prompt and its label. From a prompt to tokens
go ``tokenizer`` and ``render``; ``samples`` are prompts to try them on, ``preview`` shows what they make of some.
"""
