"""Run every notebook of docs/notebooks in a Jupyter kernel, as a reader would; fail at the first cell that does.

uv run --with nbclient --with ipykernel python scripts/notebooks.py
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"


def main() -> None:
    """Run all of them, each in a kernel of its own."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        NotebookClient(book, timeout=300, kernel_name="python3").execute(cwd=FOLDER)
        print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in book.cells)} cells")


if __name__ == "__main__":
    main()
