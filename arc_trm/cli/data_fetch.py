"""`arc-trm data fetch`."""

from __future__ import annotations

import click


@click.command("fetch")
@click.argument("what", metavar="DATA")
def fetch(what: str) -> None:
    """Download a dataset from the Hugging Face Hub into its cache, where its name finds it.

    DATA is the name of a dataset with files there, or of one of its splits. A download that broke
    off is resumed; files in the cache are checked again.

    \b
    Examples:
      arc-trm data fetch maze-hard
      arc-trm data fetch sudoku-extreme/test
    """
    from arc_trm.data.registry import find_manifest, unknown_name
    from arc_trm.hub import fetch_dataset
    from arc_trm.viz.progress import show_progress

    found = find_manifest(what)
    if found is None:
        raise unknown_name(what)
    manifest, split = found
    with show_progress("downloading") as callback:
        paths = fetch_dataset(manifest, manifest.chosen(split), callback.note, callback.stage)
    for path in paths:
        click.echo(path)
