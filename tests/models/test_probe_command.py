from __future__ import annotations

import pytest

from models.training import cli
from models.training.workshop import Workshop


def test_train_probe_is_a_stage_like_any_other(workshop: Workshop, capsys):
    arguments = ["probe", "--variant", "multi", "--loss", "brier", "--data", str(workshop.data)]
    arguments += ["--out", str(workshop.folder), "--preset", "tiny", "--steps", "2", "--threads", "1"]
    try:
        assert cli.main(arguments) == 0
        assert "probe-multi-brier: 2 steps of 2 rows, new" in capsys.readouterr().out
        assert cli.main(arguments) == 0
        assert "probe-multi-brier: finished (2 steps)" in capsys.readouterr().out
        assert cli.main([*arguments, "--set", "batch=3"]) == 1
        assert "batch 2 -> 3" in capsys.readouterr().err
        assert cli.main([*arguments, "--end-to-end", "--steps", "1"]) == 0
        assert "probe-multi-brier-end-to-end: 1 steps of 6 rows" in capsys.readouterr().out
        assert cli.main([*arguments, "--variant", "all", "--set", "batch=2"]) == 0
        said = capsys.readouterr().out
        assert "probe-multi-brier: finished" in said
        assert {"probe-fixed-0.1-brier", "probe-continuous-brier"} <= {file.stem for file in workshop.folder.iterdir()}
    finally:
        for file in workshop.folder.glob("probe-*"):
            file.unlink()


def test_only_what_exists_can_be_chosen():
    for wrong in (["--variant", "binary"], ["--loss", "mse"], ["--eps", "0.25"]):
        with pytest.raises(SystemExit):
            cli.main(["probe", "--data", "x", "--out", "y", *wrong])
