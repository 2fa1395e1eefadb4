"""The course's notebooks: where they are, and that Jupyter may show what is stored in them."""

from contextlib import suppress
from pathlib import Path

import defdetr_ref

REPOSITORY = "https://github.com/defdetr-ref/defdetr-ref"
OF_THE_CLONE = Path(defdetr_ref.__file__).parents[1] / "notebooks"
PLACES = (OF_THE_CLONE, Path("notebooks"))  # or those of the folder one is in
FIRST = "00_*.ipynb"


def notebook_folder() -> Path:
    """The course's, in the clone. Raises FileNotFoundError if it is not there."""
    for place in PLACES:
        if list(place.glob(FIRST)):
            return place
    raise FileNotFoundError(
        f"the notebooks are not part of the installed package: run `git clone {REPOSITORY}` and name its folder "
        "notebooks with --notebooks"
    )


def trust(folder: Path) -> None:
    """Sign the notebooks of a folder, as `jupyter trust` does: of others JupyterLab hides stored SVG and HTML.

    One that cannot be read is left for JupyterLab to complain about.
    """
    import nbformat
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for path in sorted(folder.glob("*.ipynb")):
        with suppress(ValueError):
            notary.sign(nbformat.read(path, as_version=4))
    notary.store.close()
