import pytest

from matgan.study.jobs import command, runner
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError


def piece(folder):
    return [{"number": 1}]


JOB = Job("squares", "numbers and their squares", 0.1, lambda: dict.fromkeys("abcd", piece))


def test_the_command_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "WORK", tmp_path / "work")
    monkeypatch.setattr(runner, "LONG", tmp_path / "long")
    monkeypatch.setattr(command, "known_jobs", lambda: {"squares": JOB})
    for words, message in (
        (["run", "cubes"], "no job 'cubes'; there are squares"),
        (["run"], "name a job"),
        (["run", "squares", "--workers", "0"], "1 or more"),
        (["run", "squares", "--hours", "-1"], "above 0, not -1"),
        (["run", "squares", "--hours", "nan"], "above 0, not nan"),
    ):
        with pytest.raises(RunError, match=message):
            command.main(words)
    assert command.main(["run", "squares", "--workers", "1"]) == 0
    assert command.main(["list"]) == 0
    assert "squares                      done       4 of 4" in capsys.readouterr().out
