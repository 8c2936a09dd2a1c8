"""Pages link to files of the repository beside docs/; these come with the site, under the same names."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the settings files, which pages name as `../configs/NAME.yaml`."""
    for path in sorted(Path(config.config_file_path).parent.glob("configs/*.yaml")):
        file = File.generated(
            config, f"../configs/{path.name}", abs_src_path=str(path), inclusion=InclusionLevel.INCLUDED
        )
        file.dest_uri = f"configs/{path.name}"
        files.append(file)
    return files
