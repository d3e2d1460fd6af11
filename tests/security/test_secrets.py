"""Secrets: nothing of the environment and no password typed by mistake is in anything that is written or printed."""

import json

import pytest

from harness.errors import UserError, error_line
from harness.planning.prepare import write_failed_trials
from harness.security.redact import redact, redact_command
from harness.settings.process_environment import check_hub
from harness.store.run_folder import RunFolder
from tests.conftest import SMALL_RECIPE, run_cli, run_cli_in_process

SECRETS = {
    "HF_TOKEN": "hf_hiddenhiddenhiddenhidden01",
    "OPENAI_API_KEY": "sk-hiddenhiddenhiddenhidden02",
    "AWS_SECRET_ACCESS_KEY": "hiddenhiddenhiddenhidden03",
    "HF_ENDPOINT": "https://name:hidden04@127.0.0.1:9/hub",
    "http_proxy": "http://name:hidden05@127.0.0.1:9",
    "HTTPS_PROXY": "http://name:hidden06@127.0.0.1:9",
}


def test_secrets_of_the_environment_are_in_nothing_written_or_printed(tmp_path):
    """A whole run, and one that the hub refuses, with six secrets set; every file and both outputs are searched.

    What is searched is in each of the six, and in no page's script, which has the attribute `hidden`.
    """
    played = run_cli("run", "--recipe", SMALL_RECIPE, "--iters", "1", "--objectives", "sft", cwd=tmp_path, **SECRETS)
    refused = run_cli(
        "run", "--recipe", SMALL_RECIPE, "--model", "org/none", cwd=tmp_path, check=False, HF_HUB_OFFLINE="1", **SECRETS
    )
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) <= 2
    assert [p for p in tmp_path.rglob("*") if p.is_file() and b"hidden0" in p.read_bytes()] == []
    assert (tmp_path / "reports" / "small.pdf").is_file()
    assert "hidden0" not in played.stdout + played.stderr + refused.stdout + refused.stderr


TYPED = {
    "data": ["--set", "data.source=https://name:hidden@host/x"],
    "data's option": ["--data", "https://name:hidden@host/x"],
    "mirror": ["--mirror", "https://name:hidden@host/x"],
    "results": ["--results", "https://name:hid/den@host/x"],
    "reports": ["--reports", "https://name:hid/den@host/x"],
    "model": ["--model", "https://hidden@host/x"],
    "query": ["--data", "https://host/x?token=hidden&y=1"],
    "a token by its form": ["--set", "model.revision=hf_hiddenhiddenhiddenhidden01"],
    "a setting there is not": ["--set", "evaluation.api_key=hidden"],
    "a setting without a value": ["--set", "https://name:hidden@host"],
}


@pytest.mark.parametrize("case", TYPED)
def test_a_password_typed_by_mistake_is_refused_and_not_shown(case, tmp_path):
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, *TYPED[case], cwd=tmp_path, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "hid" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_masked_in_a_command():
    typed = ["harness", "run", "--api-key", "hidden", "--token=hidden", "--set", "a.password=hidden", "https://u:hidden@h/x?a=1",
             "https://h/x?sig=1&access_token=hidden", "--set", "generation.max_new_tokens=16",
             "--set", "evaluation.judge_key_env=MY_KEY", "--data", "a@b.jsonl"]  # fmt: skip
    said = redact_command(typed)
    assert "hidden" not in " ".join(said) and said[:2] == ["harness", "run"] and said[-6:] == typed[-6:]
    assert redact("see https://h/x?a=1 and a@b") == "see https://h/x?a=1 and a@b"


ADDRESSES = (
    "https://name:hid/den@host/x", "https://name:hid@den@host/x", "https://na@me:hid/d@en@host/x", "https://name:hid?den@host/x",
    "https://name:hid#den@host/x", "https://name:12/hidden@host/x", "http://name:hid/den@127.0.0.1:3128", "https://hidden@host/x",
    "https://name%3Ahidden@host/x", "https://name:hid%2Fd%40en@host/x", "s3://hidden:hid/den+@host/x", "socks5h://u:/hid/@host/x",
    "https://host/x?url=https%3A%2F%2Fname%3Ahidden%40host", "https://host/x?to=a&sig=hid/d@en", "https://host/x#access_token=hidden",
    "https://host/x?X-Amz-Credential=hid/den", "https://host/x?a=1;pwd=hid@den",
    "https:/name:hid/den@host/x", "/a/b/https:/name:hid@den@host/x",
    "name:hid@den@host:3128", "//name:hid/den@host/x", r"https:\/\/name:hidden@host\/x",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_character_in_a_password_brings_it_to_light(address, tmp_path):
    """In a word of a text, in quotes, in a command, in an error that is cut, in the journal and in what the hub said."""
    said = [redact(f"see {address} twice {address}"), redact(f"('{address}', 1)"), redact_command(["--data", address])[1]]
    said += [str(UserError(f"{'a' * 240} {address} {'b' * 4000}")), error_line(RuntimeError(f"refused for {address}"))]
    RunFolder(tmp_path).journal("failed", error=f'"{address}"')
    said.append((tmp_path / "journal.jsonl").read_text())
    for text in said:
        assert not any(part in text for part in ("hid", "den@", "en@")), text
    assert all("host" in text or "127.0.0.1" in text for text in said[:3])


def test_a_librarys_error_is_one_line_without_who_asked_and_what_was_signed():
    said = error_line(RuntimeError("refused for\n https://me:hf_secret@hub.example/a/b?Signature=abc&x=1 twice, was it?"))
    assert said == "refused for https://hub.example/a/b twice, was it?"
    assert error_line(KeyError()) == "KeyError"
    assert error_line(RuntimeError("a" * 300)) == "a" * 200


def test_what_is_no_password_is_left_as_it_is():
    for text in ("https://host/@scope/name", "https://host:8000/v1", "git@github.com:org/repo", "space:mu=7@0 against spin@last",
                 "https://host/x?lr=1e-4&page=2", "see https://a/b and mail me@home", "at:/home/a@b/c",
                 "C:/a@b"):  # fmt: skip
        assert redact(text) == text


def test_journal_and_failed_cells_are_masked(tmp_path):
    run = RunFolder(tmp_path)
    error = "ConnectionError: https://name:hidden@host/x?token=hidden refused"
    run.journal("failed", error=error)
    write_failed_trials(run, {"spin/seed-0": error})
    for name in ("journal.jsonl", "failed.json"):
        text = (tmp_path / name).read_text()
        assert "hidden" not in text and "https://***@host/x?token=*** refused" in text
        json.loads(text)


def test_an_address_of_the_hub_that_cannot_be_read_is_one_line_without_its_password(monkeypatch):
    for address in ("https://name:hid/d@en@host/hub", "http://name:hid?den@host", "https://[hidden"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(UserError, match=r"HF_ENDPOINT=.* cannot be read as an address") as said:
            check_hub()
        assert "@" not in address or "hid" not in str(said.value)
    for address in ("", "https://name:hid%2Fden@host:8080/hub", "http://127.0.0.1:9"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        check_hub()
