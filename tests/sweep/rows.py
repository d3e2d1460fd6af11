"""Rows in the formats of the data sets that lm-eval's task files name, made of a few words: data set -> a row.

Legend: r a random generator, n the number of the row.
"""

WORDS = [
    "ada", "karl", "otto", "mia", "has", "buys", "sells", "gives", "apples", "pears", "plums", "nuts", "the", "a", "red", "green",
    "big", "small", "answer", "is", "now", "how", "many", "they", "we", "you", "and", "then", "not", "so", "because", "3", "5",
    "8", "13", "21", "+", "-", "=",
]  # fmt: skip


def words(r, count=6):
    return " ".join(r.choices(WORDS, k=count))


def sentence(r, count=6):
    return f"{words(r, count).capitalize()} ."


def some(r, count, length=2):
    """Texts of which no two are alike."""
    found = []
    while len(found) < count:
        text = words(r, r.randint(1, length))
        if text not in found:
            found.append(text)
    return found


def labelled(letters="ABCD"):
    def row(r, n):
        return {
            "question": sentence(r), "choices": {"text": some(r, len(letters)), "label": list(letters)},
            "question_stem": sentence(r), "answerKey": r.choice(letters),
        }  # fmt: skip

    return row


def pair(one, other, labels):
    return lambda r, n: {one: sentence(r), other: sentence(r), "label": r.choice(labels)}


def super_glue(r, n):
    text = f"{words(r, 4)} it {words(r, 3)}"
    return {
        "passage": sentence(r, 12), "question": ["cause", "effect"][n % 2], "premise": sentence(r), "hypothesis": words(r),
        "label": n % 2, "choice1": sentence(r, 3), "choice2": sentence(r, 4), "sentence1": "red apples now",
        "sentence2": "so red a nut",
        "start1": 4, "end1": 10, "text": text, "span1_text": "ada", "span2_text": "it", "span1_index": 0, "span2_index": 4,
        "paragraph": sentence(r, 12), "answer": words(r, 2),
        "idx": {"paragraph": n // 4, "question": n // 2, "answer": n, "query": n},
    }  # fmt: skip


def lettered(*names):
    """A question with one column per option."""

    def row(r, n):
        options = some(r, len(names), 3)
        return {"question": sentence(r), **dict(zip(names, options, strict=True)), "cop": 1 + n % 4, "answer": 1 + n % 4}

    return row


def race(r, n):
    problems = [{"question": sentence(r), "options": some(r, 4, 3), "answer": "ABCD"[(n + k) % 4]} for k in range(2)]
    return {"article": sentence(r, 12), "problems": str(problems)}


def drop(r, n):
    answer = {"number": str(n), "date": {"day": "", "month": "", "year": ""}, "spans": []}
    return {
        "query_id": str(n), "passage": sentence(r, 10), "question": sentence(r), "answer": answer,
        "validated_answers": {"number": ["", "5"], "date": [answer["date"]] * 2, "spans": [["apples"], []]},
    }  # fmt: skip


def qasper(r, n):
    def blob(yes, free):
        return {"unanswerable": False, "yes_no": yes, "free_form_answer": free, "extractive_spans": [], "evidence": []}

    answers = [{"answer": [blob(bool(n % 2), "")]}, {"answer": [blob(None, words(r, 3))]}]
    return {"title": words(r), "abstract": sentence(r), "qas": {"question": [sentence(r), sentence(r)], "answers": answers}}


def math(r, n):
    solution = f"{sentence(r)} so $\\boxed{{{n + 3}}}$ ."
    return {"problem": f"{n} + 3 = ?", "solution": solution, "level": "Level 5", "type": "Algebra"}


def emotions(r, n):
    scored = {f"emotion{i}": name for i, name in enumerate(("Joy", "Fear", "Hope", "Rage"), start=1)}
    scored |= {f"emotion{i}_score": i for i in range(1, 5)}
    return {"prompt": sentence(r), "reference_answer_fullscale": str(scored)}


def page(r, n):
    return sentence(r, 7 + 90 * (n % 3)) + "\n\n= Plums =\n\n" + sentence(r, 9)


def own(r, n):
    options = some(r, 2, 4)
    row = {"question": sentence(r, 4 + n), "options": options, "choices": options, "label": n % 2}
    return row | {"may_be_empty": ["" if n == 3 else "now", *options]}


# Data set (a loader of files by the end of its first file's name) -> a row of it; a configuration of its own behind a colon.
ROWS = {
    "own": own,
    "facebook/anli": pair("premise", "hypothesis", [0, 1, 2]),
    "allenai/ai2_arc": labelled(),
    "nyu-mll/blimp": lambda r, n: {"sentence_good": sentence(r), "sentence_bad": sentence(r, 5)},
    "tau/commonsense_qa": labelled("ABCDE"),
    "jannalu/crows_pairs_multilingual": lambda r, n: {"sent_more": sentence(r), "sent_less": sentence(r), "bias_type": n % 9},
    "EleutherAI/drop": drop,
    "nyu-mll/glue": lambda r, n: {
        **{name: sentence(r) for name in ("sentence", "sentence1", "sentence2", "question", "question1", "question2", "premise")},
        "hypothesis": sentence(r), "label": n % 2},
    "Rowan/hellaswag": lambda r, n: {"ctx_a": sentence(r), "ctx_b": words(r, 3), "activity_label": words(r, 1),
        "endings": some(r, 4, 5), "label": str(n % 4), "source_id": f"x~{n}"},
    "EleutherAI/logiqa": lambda r, n: {"context": sentence(r), "question": sentence(r), "options": some(r, 4, 4),
        "label": "abcd"[n % 4]},
    "baber/logiqa2": lambda r, n: {"text": sentence(r), "question": sentence(r), "options": some(r, 4, 4), "answer": n % 4},
    "regisss/math_qa": lambda r, n: {"Problem": sentence(r), "correct": "abcde"[n % 5],
        "options": "a ) 3 , b ) 5 apples , c ) 8 , d ) the answer , e ) none of these"},
    "GBaker/MedQA-USMLE-4-options-hf": lambda r, n: {"sent1": sentence(r), **{f"ending{i}": words(r, 2) for i in range(4)},
        "label": n % 4},
    "openlifescienceai/medmcqa": lambda r, n: {**lettered("opa", "opb", "opc", "opd")(r, n), "cop": n % 4},
    "EleutherAI/mutual": lambda r, n: {"article": sentence(r), "options": some(r, 4, 4), "answers": "ABCD"[n % 4]},
    "google-research-datasets/nq_open": lambda r, n: {"question": words(r), "answer": some(r, 2)},
    "google-research-datasets/paws-x": pair("sentence1", "sentence2", [0, 1]),
    "baber/piqa": lambda r, n: {"goal": sentence(r), "sol1": sentence(r), "sol2": sentence(r, 4), "label": n % 2},
    "bigbio/pubmed_qa": lambda r, n: {"CONTEXTS": [sentence(r), sentence(r)], "QUESTION": sentence(r),
        "final_decision": ["yes", "no", "maybe"][n % 3]},
    "EleutherAI/race": race,
    "allenai/sciq": lambda r, n: {"support": sentence(r), "question": sentence(r),
        **dict(zip(("distractor1", "distractor2", "distractor3", "correct_answer"), some(r, 4, 3), strict=True))},
    "aps/super_glue": super_glue,
    "aps/super_glue:cb": lambda r, n: {**super_glue(r, n), "label": n % 3},
    "skg/toxigen-data": lambda r, n: {"text": sentence(r), "toxicity_ai": float(n), "toxicity_human": 2.0},
    "mandarjoshi/trivia_qa": lambda r, n: {"question": words(r), "answer": {"aliases": some(r, 3)}},
    "truthfulqa/truthful_qa": lambda r, n: {"question": sentence(r),
        "mc1_targets": {"choices": some(r, 3, 4), "labels": [1, 0, 0]},
        "mc2_targets": {"choices": some(r, 3, 4), "labels": [1, 0, 0]}, "best_answer": words(r),
        "correct_answers": some(r, 2, 5), "incorrect_answers": some(r, 2, 5)},
    "EleutherAI/unscramble": lambda r, n: {"context": f"{words(r, 3)} ->", "completion": words(r, 1)},
    "stanfordnlp/web_questions": lambda r, n: {"question": sentence(r), "answers": ["ada the first", "ada", "otto"][: 1 + n % 3]},
    "allenai/winogrande": lambda r, n: {"sentence": f"{words(r, 4)} _ {words(r, 4)} .", "option1": "ada",
        "option2": "the small nut", "answer": "12"[n % 2]},
    "cambridgeltl/xcopa": lambda r, n: {**super_glue(r, n), "question": ["cause", "effect"][n % 2]},
    "hails/agieval-math": lambda r, n: {"query": sentence(r), "answer": str(n)},
    "hails/agieval-sat-math": lambda r, n: {"query": sentence(r), "choices": some(r, 4, 3), "gold": [n % 4]},
    "two_digit_addition.jsonl": lambda r, n: {"context": f"Q: {n} + 3 = ?\nA:", "completion": f" {n + 3}"},
    "EleutherAI/asdiv": lambda r, n: {"body": sentence(r), "question": sentence(r), "answer": f"{n} (apples)"},
    "Muennighoff/babi": lambda r, n: {"passage": f"{sentence(r)}\n", "question": sentence(r), "answer": words(r, 1)},
    "SaylorTwift/bbh": lambda r, n: {"input": sentence(r), "target": ["True", "False"][n % 2]},
    "allenai/c4": lambda r, n: {"text": page(r, n)},
    "HPAI-BSC/CareQA": lettered("op1", "op2", "op3", "op4"),
    "CM/codexglue_code2text_go": lambda r, n: {"code_tokens": words(r, 7).split(), "docstring_tokens": words(r, 5).split()},
    "pbevan11/EQ-Bench": emotions,
    "asi/wikitext_fr": lambda r, n: {"paragraph": page(r, n)},
    "Idavidrein/gpqa": lambda r, n: {"Question": sentence(r),
        **dict(zip(("Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))), some(r, 4, 3), strict=True))},
    "openai/gsm8k": lambda r, n: {"question": f"{sentence(r)} Ada has {n} apples and buys 3 .",
        "answer": f"{n} + 3 = {n + 3} .\n#### {n + 3}"},
    "EleutherAI/hendrycks_math": math,
    # Longer than any word before it: HFLM asserts where a text has no more tokens than its context, whose last word the lab's
    # tokenizer spells in bytes because no space follows it.
    "EleutherAI/lambada_openai": lambda r, n: {"text": f"{words(r, 8)} {r.choice(('yesterday', 'everything', 'somewhere'))}"},
    "Geralt-Targaryen/MELA": lambda r, n: {"sentence": sentence(r), "label": n % 2},
    "juletxara/mgsm": lambda r, n: {"question": f"{sentence(r)} Ada has {n} apples .", "answer": None if n % 2 else "x",
        "answer_number": n + 3},
    "cais/mmlu": lambda r, n: {"question": sentence(r), "choices": some(r, 4, 3), "answer": n % 4, "subject": "abstract_algebra"},
    "TIGER-Lab/MMLU-Pro": lambda r, n: {"question": sentence(r), "options": some(r, 10, 3), "answer": "ABCDEFGHIJ"[n % 10],
        "category": "math", "cot_content": f"A: Let's think step by step. {sentence(r)} The answer is (A)."},
    "allenai/paloma": lambda r, n: {"text": page(r, n)},
    "NeelNanda/pile-10k": lambda r, n: {"text": page(r, n)},
    "allenai/qasper": qasper,
    "oskarvanderwal/simple-cooccurrence-bias": lambda r, n: {"sentence": f"{words(r, 4)} the"},
    "EleutherAI/wikitext_document_level": lambda r, n: {"page": page(r, n)},
    "wmt/wmt14": lambda r, n: {"translation": {language: sentence(r, 5) for language in ("en", "fr")}},
    "wmt/wmt16": lambda r, n: {"translation": {language: sentence(r, 5) for language in ("en", "de", "ro")}},
    "hazyresearch/based-swde-v2": lambda r, n: {"text": f"{sentence(r, 9)} name:", "value": words(r, 2)},
    "hazyresearch/based-fda": lambda r, n: {"text": f"{sentence(r, 9)} name:", "value": words(r, 2)},
    "maximegmd/glianorex": lambda r, n: {"question": sentence(r), "options": dict(zip("ABCD", some(r, 4, 3), strict=True)),
        "language": "en", "answer_idx": "ABCD"[n % 4]},
}  # fmt: skip
