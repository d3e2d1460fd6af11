"""lm-eval's own task files that are asked: all kinds of requests, all filters, all metrics that need nothing from elsewhere."""

from tests.sweep.compare import Case

CASES = [
    # what no file of lm-eval's has, or none that can be asked without more
    Case("own_choices", "acc_bytes", shots=1), Case("own_texts", "chrf++", shots=1),
    Case("own_texts", "exact_match", chat=True), Case("own_filters", "length", filter="most"),
    Case("own_empty", "acc"), Case("own_last", "acc"), Case("own_beams", "exact_match"),
    Case("own_penalties", "exact_match"), Case("own_length", "exact_match"),
    # choices
    Case("anli_r1", "acc", "anli"), Case("arc_easy", "acc_norm", "arc", shots=2),
    Case("arc_challenge", "acc_norm", "arc", chat=True, shots=2), Case("blimp_adjunct_island", "acc", "blimp"),
    Case("commonsense_qa", "acc", shots=1), Case("crows_pairs_english", "likelihood_diff", "crows_pairs"),
    Case("cola", "mcc", "glue/cola"), Case("mnli", "acc", "glue/mnli"), Case("mrpc", "f1", "glue/mrpc", shots=3),
    Case("hellaswag", "acc_norm", shots=3), Case("logiqa", "acc_norm"), Case("logiqa2", "acc_norm"),
    Case("mathqa", "acc_norm"), Case("medqa_4options", "acc", "medqa"), Case("medmcqa", "acc"), Case("mutual", "mrr"),
    Case("paws_en", "acc", "paws-x"), Case("piqa", "acc_norm", shots=1), Case("pubmedqa", "acc"), Case("race", "acc"),
    Case("sciq", "acc_norm"), Case("boolq", "acc", "super_glue/boolq"), Case("cb", "f1", "super_glue/cb"),
    Case("copa", "acc", "super_glue/copa"), Case("wsc", "acc", "super_glue/wsc"), Case("toxigen", "acc"),
    Case("truthfulqa_mc1", "acc", "truthfulqa"), Case("truthfulqa_mc2", "acc", "truthfulqa"),
    Case("webqs", "exact_match"), Case("winogrande", "acc", shots=2), Case("xcopa_it", "acc", "xcopa"),
    Case("agieval_sat_math", "acc_norm", "agieval"), Case("careqa_en", "acc", "careqa"),
    Case("mela_en", "mcc", "mela", shots=2), Case("qasper_bool", "f1", "qasper"),
    Case("simple_cooccurrence_bias", "likelihood_diff"), Case("glianorex", "acc"),
    Case("mmlu_abstract_algebra", "acc", "mmlu/default", shots=2),
    # texts that are written
    Case("drop", "f1"), Case("nq_open", "exact_match", filter="remove_whitespace", shots=1),
    Case("triviaqa", "exact_match", filter="remove_whitespace"), Case("truthfulqa_gen", "bleu_max", "truthfulqa"),
    Case("anagrams1", "exact_match", "unscramble"), Case("gsm8k", "exact_match", filter="flexible-extract", shots=3),
    Case("gsm8k_cot", "exact_match", "gsm8k", filter="strict-match", chat=True, shots=2),
    Case("mgsm_direct_en", "exact_match", "mgsm/direct", filter="flexible-extract"),
    Case("bbh_cot_fewshot_boolean_expressions", "exact_match", "bbh/cot_fewshot", filter="get-answer", shots=2),
    Case("mmlu_flan_n_shot_generative_abstract_algebra", "exact_match", "mmlu/flan_n_shot/generative", filter="flexible-extract"),
    Case("gpqa_main_generative_n_shot", "exact_match", "gpqa/generative", filter="flexible-extract", shots=1),
    Case("mmlu_pro_math", "exact_match", "mmlu_pro", filter="custom-extract", shots=2),
    Case("hendrycks_math_algebra", "exact_match", "hendrycks_math"), Case("babi", "exact_match"),
    Case("wmt14-en-fr", "bleu", "translation"), Case("wmt16-en-de", "chrf", "translation", shots=1),
    Case("wmt16-de-en", "ter", "translation"), Case("code2text_go", "smoothed_bleu_4", "code_x_glue/code-text"),
    Case("eq_bench", "eqbench"), Case("agieval_math", "acc", "agieval"),
    Case("super_glue-boolq-t5-prompt", "exact_match", "super_glue/boolq"),
    Case("super_glue-cb-t5-prompt", "mean_3class_f1", "super_glue/cb"),
    Case("super_glue-multirc-t5-prompt", "f1", "super_glue/multirc"),
    Case("super_glue-wsc-t5-prompt", "accuracy", "super_glue/wsc"),
    Case("qasper_freeform", "f1_abstractive", "qasper"), Case("swde", "contains"), Case("fda", "contains"),
    # likelihoods, and rolling ones
    Case("lambada_openai", "perplexity", "lambada"), Case("lambada_openai_cloze_yaml", "perplexity", "lambada_cloze"),
    Case("asdiv", "acc"), Case("arithmetic_2da", "acc", "arithmetic"),
    Case("wikitext", "word_perplexity"), Case("pile_10k", "byte_perplexity"), Case("c4", "bits_per_byte"),
    Case("paloma_c4_en", "word_perplexity", "paloma"),
]  # fmt: skip
