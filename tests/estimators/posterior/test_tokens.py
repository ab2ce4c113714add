"""The score token of a response: where it stands, which tokens are the same label, what stays open."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from nilometer.errors import ConfigError, MissingLogprobsError, NotEnoughDataError, TraceFormatError
from nilometer.estimators import posterior_from_lm_eval, posterior_from_response
from nilometer.estimators.posterior.tokens import ListedToken, score_masses, score_place

WIRE = Path(__file__).parents[2] / "traces" / "wire"


def entry(token, p, **alternatives):
    rows = [{"token": token, "logprob": math.log(p)}]
    rows += [{"token": text, "logprob": math.log(q)} for text, q in alternatives.get("top", {}).items()]
    return {"token": token, "logprob": math.log(p), "top_logprobs": rows}


def reply(*choices):
    return {
        "choices": [
            {"message": {"content": "".join(t["token"] for t in tokens)}, "logprobs": {"content": list(tokens)}}
            for tokens in choices
        ]
    }


def test_variants_of_a_token_are_one_label():
    top = {" 4": 0.1, "**4": 0.05, "four": 0.05, "5": 0.2, "maybe": 0.1}
    found = posterior_from_response(reply([entry("4", 0.4, top=top)]), range(1, 6))
    assert dict(zip(found.values, found.weights.round(6).tolist(), strict=True)) == {4: 0.75, 5: 0.25}
    assert found.missing_mass == pytest.approx(0.2)
    assert found.largest_open == pytest.approx(0.05)


def test_the_last_score_counts_not_the_one_in_the_reason():
    tokens = [entry("4", 0.9, top={"1": 0.1}), entry(" of 5 facts. Score: ", 1.0), entry("2", 0.7, top={"3": 0.3})]
    assert posterior_from_response(reply(tokens), range(1, 6)).values == (2, 3)


def test_a_field_of_json_is_found():
    tokens = [entry('{"score": ', 1.0), entry("3", 0.8, top={"4": 0.2}), entry(', "reason": "5 errors"}', 1.0)]
    assert posterior_from_response(reply(tokens), range(1, 6), field="score").values == (3, 4)
    assert posterior_from_response(reply(tokens), range(1, 6), pattern=r'score": (\d)').values == (3, 4)


def test_a_number_of_two_tokens_is_followed_where_it_was_generated():
    tokens = [entry("1", 0.6, top={"9": 0.4}), entry("0", 0.7, top={"\n": 0.25, ".": 0.05})]
    found = posterior_from_response(reply(tokens), range(1, 11))
    assert dict(zip(found.values, found.weights, strict=True)) == pytest.approx({1: 0.18, 9: 0.4, 10: 0.42})
    assert found.missing_mass == pytest.approx(0, abs=1e-6)


def test_a_first_token_that_was_not_generated_stays_open():
    found = posterior_from_response(reply([entry("7", 0.5, top={"1": 0.3, "8": 0.2})]), range(1, 11))
    assert found.values == (7, 8)
    assert found.missing_mass == pytest.approx(0.3)
    assert {1, 10} <= set(found.open_labels)
    low, high = found.mean_bounds()
    assert low == pytest.approx(0.5 * 7 + 0.2 * 8 + 0.3 * 1)
    assert high == pytest.approx(0.5 * 7 + 0.2 * 8 + 0.3 * 10)


def test_decimals_are_followed_over_three_tokens():
    tokens = [entry("3", 1.0), entry(".", 0.8, top={"\n": 0.2}), entry("5", 0.9, top={"0": 0.1})]
    found = posterior_from_response(reply(tokens), [1, 2, 3, 3.5, 4])
    assert dict(zip(found.values, found.weights, strict=True)) == pytest.approx({3: 0.2 / 0.92, 3.5: 0.72 / 0.92})


def test_a_final_point_is_no_decimal():
    tokens = [entry("3", 1.0), entry(".", 1.0)]
    assert posterior_from_response(reply(tokens), [1, 2, 3, 3.5, 4]).values == (3,)
    assert posterior_from_response(reply([entry("3.", 1.0)]), range(1, 6)).values == (3,)


def test_words_of_several_tokens_are_labels_too():
    tokens = [entry("Pos", 0.8, top={"neg": 0.1, "Neg": 0.1}), entry("itive", 1.0)]
    found = posterior_from_response(reply(tokens), ["positive", "negative"])
    assert found.values == ("positive",)
    assert found.open_labels == ("negative",)


def test_probabilities_of_labels_and_missing_mass_sum_to_one():
    listed = (("1", 0.3), ("10", 0.1), (" 2", 0.2), ("x", 0.15))
    tokens = [ListedToken("1", listed), ListedToken(" ", ((" ", 0.9), ("0", 0.05), ("7", 0.05)))]
    found = score_masses(tokens, 0, range(1, 11))
    assert found.masses == pytest.approx({1: 0.27, 10: 0.115, 2: 0.2})
    assert sum(found.masses.values()) <= 1


def test_several_choices_are_averaged():
    found = posterior_from_response(
        reply([entry("4", 0.8, top={"5": 0.2})], [entry("2", 1.0)], [entry("none", 1.0)]), range(1, 6)
    )
    assert dict(zip(found.values, found.weights, strict=True)) == pytest.approx({2: 0.5, 4: 0.4, 5: 0.1})
    assert (found.n_samples, found.n_failures, found.failures) == (2, 1, ("none",))


def test_all_wire_forms_give_the_same():
    listed = {"4": math.log(0.7), "5": math.log(0.3)}
    completion = {
        "choices": [
            {"text": "4", "logprobs": {"tokens": ["4"], "token_logprobs": [listed["4"]], "top_logprobs": [listed]}}
        ]
    }
    native = {
        "content": "4",
        "completion_probabilities": [
            {
                "token": "4",
                "logprob": listed["4"],
                "top_logprobs": [{"token": k, "logprob": v} for k, v in listed.items()],
            }
        ],
    }
    old = {
        "content": "4",
        "completion_probabilities": [
            {"content": "4", "probs": [{"tok_str": k, "prob": math.exp(v)} for k, v in listed.items()]}
        ],
    }
    ids = {i: SimpleNamespace(logprob=v, decoded_token=k) for i, (k, v) in enumerate(listed.items())}
    vllm = SimpleNamespace(outputs=[SimpleNamespace(text="4", token_ids=[0], logprobs=[ids])])
    chat = reply([entry("4", 0.7, top={"5": 0.3})])
    for response in (completion, native, old, vllm, chat):
        assert posterior_from_response(response, range(1, 6)).weights == pytest.approx([0.7, 0.3])


def test_real_answers_of_vllm_are_followed_over_the_tokens_of_a_number():
    # recorded: "7 + 5 = 12", where 12 is the tokens 1 and 2, with five alternatives each
    line = (WIRE / "vllm_chat.jsonl").read_text().splitlines()[0]
    response = json.loads(line)
    tokens = response["choices"][0]["logprobs"]["content"]
    found = posterior_from_response(response, range(1, 20), pattern=r"= (?=\d)", temperature=1.0)
    places = [i for i, token in enumerate(tokens) if token["token"] == "1"]
    first, second = tokens[places[-1]], tokens[places[-1] + 1]
    expected = math.exp(first["logprob"] + second["logprob"])
    mass = found.weights[found.values.index(12)] * (1 - found.missing_mass)
    assert mass == pytest.approx(expected, rel=1e-6)
    two = json.loads((WIRE / "vllm_chat_two_choices.jsonl").read_text().splitlines()[0])
    assert posterior_from_response(two, range(1, 20), pattern=r"(?:=|equals) (?=\d)").n_samples == 2


def test_a_real_answer_of_llama_cpp_python_is_read():
    response = json.loads((WIRE / "llama_cpp_python_chat.jsonl").read_text().splitlines()[0])
    content = response["choices"][0]["logprobs"]["content"]
    found = posterior_from_response(response, ["To", "The"], pattern="^")
    listed = {row["token"]: math.exp(row["logprob"]) for row in content[0]["top_logprobs"]}
    assert found.missing_mass == pytest.approx(1 - listed["To"] - listed["The"])


@pytest.mark.parametrize("name", ["choice", "written"])
def test_real_samples_of_lm_eval_are_read(name):
    file = next(WIRE.glob(f"samples_{name}_*.jsonl"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = [posterior_from_lm_eval(row) for row in rows]
    assert [one.n_samples for one in found] == [None if name == "choice" else 1] * len(rows)
    if name == "choice":
        assert found[0].values[found[0].weights.argmax()] == "0"


def test_without_log_probabilities_it_says_so_or_counts_on_request():
    bare = {"choices": [{"message": {"content": text}} for text in ("Score: 4", "Score: 5", "no")]}
    with pytest.raises(MissingLogprobsError, match="Ask for `logprobs=true, top_logprobs=20`"):
        posterior_from_response(bare, range(1, 6))
    counted = posterior_from_response(bare, range(1, 6), fallback="samples")
    assert (counted.values, counted.n_samples, counted.n_failures) == ((4, 5), 2, 1)


def test_bad_responses_say_why():
    with pytest.raises(TraceFormatError, match="the response holds no choice"):
        posterior_from_response({}, range(5))
    with pytest.raises(NotEnoughDataError, match="no answer states a label of the scale, for example 'hello'"):
        posterior_from_response(reply([entry("hello", 1.0)]), range(5))
    with pytest.raises(TraceFormatError, match="a `logprob` must be <= 0, got 2"):
        posterior_from_response(
            {"choices": [{"message": {"content": "4"}, "logprobs": {"content": [{"token": "4", "logprob": 2.0}]}}]},
            range(5),
        )
    with pytest.raises(ValueError, match="`fallback` must be 'error' or 'samples'"):
        posterior_from_response({}, range(5), fallback="guess")
    with pytest.raises(ConfigError, match="`pattern` must be a regular expression"):
        score_place("4", range(5), pattern="(")
    with pytest.raises(ConfigError, match="must not both be given"):
        score_place("4", range(5), pattern="x", field="y")


def test_marks_before_the_score_belong_to_no_label():
    tokens = [ListedToken("**", (("**", 0.9), ("4", 0.1))), ListedToken("4", (("4", 0.7), ("5", 0.3)))]
    assert score_masses(tokens, 0, range(1, 6)).masses == pytest.approx({4: 0.7, 5: 0.3})


def test_a_choice_without_content_is_a_failed_draw():
    reply = {"choices": [{"message": {"content": text}} for text in ("4", None)]}
    posterior = posterior_from_response(reply, range(1, 6), fallback="samples")
    assert posterior.values == (4,)
    assert posterior.failures == ("(no content)",)
