"""The house's import rules, parsed from the source and compared with this table; and what no file may say."""

import ast
import re
from pathlib import Path

import pytest

from harness.discovery.variants import list_objectives

ROOT = Path(__file__).parent.parent

# module -> what it may import from the project. A sub-package's name stands for the modules in it.
BASE = {"harness.errors", "harness.files", "harness.records"}
ALLOWED = {
    "objectives._contract": set(),
    "objectives.__init__": {"objectives._contract"},
    "harness.__init__": set(),
    "harness.__main__": {"harness.cli"},
    "harness.errors": {"harness.security.redact", "harness.security.escaping"},
    "harness.security.redact": set(),
    "harness.settings.paths": {"harness.errors"},
    "harness.store.output_folders": {"harness.errors", "harness.store.lease"},
    "harness.settings.numbers": set(),
    "harness.settings.validation": {"harness.errors"},
    "harness.settings.toml_files": {"harness.errors", "harness.settings.paths"},
    "harness.settings.safe_paths": {"harness.errors"},
    "harness.security.escaping": set(),
    "harness.store.untrusted": {"harness.errors", "harness.files", "harness.settings.safe_paths", "harness.store.run_folder"},
    "harness.security.console": {"harness.security.redact", "harness.security.escaping"},
    "harness.records": set(),
    "harness.files": {"harness.errors"},
    "harness.store.verification": BASE,
    "harness.store.small_files": BASE | {"harness.store.verification", "harness.settings.safe_paths"},
    "harness.store.finished_phases": BASE | {"harness.store.verification", "harness.store.small_files"},
    "harness.analysis.text_columns": {"harness.security.escaping"},
    "harness.analysis.earlier_tables": {"harness.analysis.text_columns"} | {"harness.errors", "harness.security.escaping"},
    "harness.loop.stored_data": BASE
    | {
        "harness.config",
        "harness.language.data.dataset",
        "harness.language.policy",
        "harness.store.run_folder",
        "harness.language.text.templates",
    },
    "harness.planning.remaining": {
        "harness.errors",
        "harness.loop.plan",
        "harness.store.finished_phases",
        "harness.store.small_files",
    },
    "harness.store.merging": BASE
    | {
        "harness.config",
        "harness.store.verification",
        "harness.settings.safe_paths",
        "harness.store.finished_phases",
        "harness.store.provenance",
    }
    | {"harness.store.small_files", "harness.store.run_folder", "harness.store.versions"},
    "harness.store.process_identity": set(),
    "harness.store.lease": {"harness.errors", "harness.files", "harness.store.process_identity"},
    "harness.store.provenance": set(),
    "harness.store.partial_results": BASE | {"harness.store.checked_records", "harness.progress"},
    "harness.train.checkpointing": {"harness.errors", "harness.records"},
    "harness.store.checked_records": BASE,
    "harness.discovery.copies": BASE | {"harness.discovery.variants", "harness.store.run_folder"},
    "harness.config": {"harness.settings.validation", "harness.settings.numbers"}
    | {"harness.settings.paths", "harness.settings.toml_files"}
    | BASE
    | {"harness.security.redact"},
    "harness.store.phase_writer": {"harness.errors", "harness.files", "harness.store.checked_records"},
    "harness.store.run_folder": BASE
    | {"harness.store.phase_writer"}
    | {
        "harness.store.lease",
        "harness.store.verification",
        "harness.store.checked_records",
        "harness.security.redact",
        "harness.settings.safe_paths",
        "harness.store.provenance",
    }
    | {"harness.store.finished_phases", "harness.store.small_files"},
    "harness.store.versions": {
        "harness.errors",
        "harness.store.finished_phases",
        "harness.store.provenance",
        "harness.store.run_folder",
        "harness.loop.suite",
    },
    "harness.analysis.score_scale": set(),
    "harness.loop.suite": {"harness.settings.paths", "harness.settings.toml_files"}
    | BASE
    | {"harness.config", "harness.loop.judge_settings", "harness.settings.safe_paths", "harness.analysis.score_scale"},
    "harness.loop.benchmark": {"harness.language.policy", "harness.progress", "harness.records", "harness.loop.suite"}
    | {"harness.store.partial_results"},
    "harness.judge.__init__": set(),
    "harness.loop.judge_settings": {"harness.config"},
    "harness.language.judge.questions": {"harness.settings.paths"} | BASE | {"harness.config", "harness.sources.rows"},
    "harness.language.judge.endpoint": {
        "harness.config",
        "harness.errors",
        "harness.loop.judge_settings",
        "harness.sources.offline",
    },
    "harness.language.judge.rating": {"harness.language.judge.questions", "harness.loop.judge_settings"},
    "harness.language.judge.judgement_log": BASE,
    "harness.language.judge.responses": BASE
    | {
        "harness.language.encoding",
        "harness.language.judge.questions",
        "harness.language.model.sampling",
        "harness.language.policy",
        "harness.progress",
    },
    "harness.language.judge.scoring": BASE | {"harness.judge", "harness.progress"},
    "harness.language.judge.benchmark": BASE
    | {
        "harness.loop.benchmark",
        "harness.config",
        "harness.judge",
        "harness.language.policy",
        "harness.progress",
        "harness.loop.suite",
    }
    | {"harness.analysis.clusters", "harness.store.partial_results"},
    "harness.language.benchmark.suite_check": {
        "harness.errors",
        "harness.language.benchmark.row_check",
        "harness.loop.suite",
        "harness.language.benchmark.task_check",
        "harness.language.benchmark.task_file",
    },
    "harness.language.benchmark.registered": set(),
    "harness.language.benchmark.task_file": set(),
    "harness.language.benchmark.row_check": {
        "harness",
        "harness.errors",
        "harness.language.benchmark.registered",
        "harness.loop.suite",
        "harness.language.benchmark.task_file",
    },
    "harness.language.benchmark.row_scores": BASE | {"harness.analysis.clusters", "harness.loop.suite"},
    "harness.language.benchmark.task_trial": {
        "harness.errors",
        "harness.language.benchmark.row_check",
        "harness.loop.suite",
        "harness.language.benchmark.task_file",
    },
    "harness.language.benchmark.task_notices": {"harness.language.benchmark.own_shots", "harness.loop.suite"},
    "harness.language.benchmark.own_shots": BASE | {"harness.language.policy"},
    "harness.language.benchmark.task_check": set(),
    "harness.progress": {"harness.security.console"},
    "harness.discovery.variants": {"harness.settings.numbers", "harness.discovery.process_state"}
    | BASE
    | {"harness.config", "harness.settings.safe_paths", "harness.settings.paths", "objectives"},
    "harness.discovery.batches": {"objectives"},
    "harness.discovery.checks": {"harness.discovery.batches", "objectives"},
    "harness.discovery.precision": {"harness.discovery.batches", "harness.discovery.checks", "objectives"},
    "harness.discovery.needs": {"harness.discovery.batches", "objectives"},
    "harness.discovery.slopes": {"harness.discovery.batches", "objectives"},
    "harness.discovery.source_file": {"harness.discovery.batches"},
    "harness.discovery.review": {"harness.discovery.batches", "harness.discovery.checks", "harness.discovery.source_file"}
    | {"harness.discovery.needs", "harness.discovery.precision", "harness.discovery.slopes", "objectives"},
    "harness.discovery.isolated": BASE
    | {"harness.discovery.variants", "harness.settings.paths"}
    | {"harness.discovery.source_file", "harness.discovery.review", "harness.discovery.slopes"},
    "harness.reporting.generated_docs": {"harness.discovery.variants", "objectives"},
    "harness.language.text.tokens": {"harness.errors", "harness.language.text.template_limits"},
    "harness.language.text.template_limits": set(),
    "harness.language.text.templates": {
        "harness.errors",
        "harness.language.text.template_limits",
        "harness.language.text.tokens",
    },
    "harness.language.encoding": BASE | {"harness.language.text.templates", "harness.language.text.tokens"},
    "harness.language.text.token_notices": {
        "harness.language.data.dataset",
        "harness.language.policy",
        "harness.language.text.templates",
        "harness.language.text.tokens",
    },
    "harness.language.text.first_ids": {"harness.language.encoding", "harness.records"},
    "harness.sources.confinement": {"harness.errors"},
    "harness.sources.offline": set(),
    "harness.sources.mirror": {"harness.sources.confinement"}
    | {"harness.settings.paths"}
    | {"harness.config", "harness.errors", "harness.store.run_folder"}
    | {"harness.files"},
    "harness.language.hub_items": {"harness.settings.paths"}
    | BASE
    | {"harness.config", "harness.sources.mirror", "harness.loop.suite", "harness.language.benchmark.suite_check"},
    "harness.sources.hub": {"harness.errors", "harness.security.redact", "harness.sources.mirror"},
    "harness.sources.fetch": {
        "harness.errors",
        "harness.files",
        "harness.sources.hub",
        "harness.store.lease",
        "harness.sources.mirror",
    }
    | {"harness.store.adapter_files", "harness.progress"},
    "harness.sources.rows": {"harness.sources.confinement"}
    | {"harness.settings.paths"}
    | {"harness.config", "harness.errors", "harness.sources.mirror", "harness.sources.splits"},
    "harness.sources.splits": {"harness.errors", "harness.files"},
    "harness.language.data.columns": {"harness.errors"},
    "harness.language.data.conversations": {"harness.errors"},
    "harness.language.data.formats": {"harness.settings.paths"}
    | {"harness.language.data.columns", "harness.config", "harness.language.data.conversations", "harness.errors"},
    "harness.language.data.dataset": BASE
    | {
        "harness.config",
        "harness.language.encoding",
        "harness.language.data.formats",
        "harness.sources.rows",
        "harness.language.text.templates",
        "harness.language.text.tokens",
    },
    "harness.train.prefetch": set(),
    "harness.train.schedule": BASE | {"harness.config"},
    "harness.train.nonfinite": {"harness.files"},
    "harness.train.nonfinite_step": {
        "harness.train.nonfinite",
        "harness.language.model.packing",
        "harness.language.policy",
        "harness.records",
    },
    "harness.language.benchmark.task_definition": set(),
    "harness.language.benchmark.nltk_data": set(),
    "harness.train.thread_pool": set(),
    "harness.language.model.__init__": set(),
    "harness.store.adapter_files": set(),
    "harness.language.model.beginnings": set(),
    "harness.language.model.packing": set(),
    "harness.train.oom": set(),
    "harness.language.model.checkpointing": set(),
    "harness.language.model.quantised": {"harness.errors"},
    "harness.language.model.context": {"harness.errors"},
    "harness.language.model.supported": {"harness.errors"},
    "harness.language.model.targets": {"harness.language.model.logprobs"},
    "harness.language.model.generating": {"harness.language.model.logprobs", "harness.language.model.sampling"},
    "harness.language.model.verify": {
        "harness.language.model.generating",
        "harness.language.model.logprobs",
        "harness.language.model.packing",
        "harness.language.model.sampling",
    },
    "harness.language.model.cache": set(),
    "harness.language.model.lora": {"harness.config", "harness.errors", "harness.language.model.targets"},
    "harness.language.model.logprobs": {"harness.language.model.cache", "harness.language.model.packing"},
    "harness.language.model.sampling": {
        "harness.train.nonfinite",
        "harness.language.model.beginnings",
        "harness.language.model.cache",
    }
    | {"harness.language.model.logprobs"},
    "harness.language.model.decoding": {
        "harness.language.model.logprobs",
        "harness.language.model.sampling",
        "harness.language.text.templates",
    },
    "harness.language.policy": BASE
    | {"harness.train.nonfinite"}
    | {
        "harness.config",
        "harness.language.encoding",
        "harness.train.thread_pool",
        "harness.language.model",
        "harness.store.run_folder",
    },
    "harness.language.model.start": BASE
    | {
        "harness.config",
        "harness.sources.mirror",
        "harness.store.adapter_files",
        "harness.language.policy",
        "harness.store.run_folder",
    }
    | {"harness.settings.paths"},
    "harness.language.model.loading": BASE
    | {
        "harness.settings.paths",
        "harness.config",
        "harness.sources.confinement",
        "harness.language.text.templates",
        "harness.train.thread_pool",
        "harness.sources.mirror",
        "harness.language.model.logprobs",
        "harness.language.model.lora",
        "harness.language.model.quantised",
        "harness.language.model.start",
        "harness.language.model.context",
        "harness.language.model.supported",
        "harness.language.model.targets",
        "harness.language.model.verify",
    }
    | {"harness.settings.paths", "harness.language.policy"}
    | {"harness.store.run_folder"},
    "harness.language.engine.__init__": set(),
    "harness.language.engine.worker": set(),
    "harness.language.engine.line": set(),
    "harness.language.engine.canary": {"harness.language.model.packing", "harness.language.policy"},
    "harness.language.engine.preflight": BASE
    | {"harness.config", "harness.language.engine.line", "harness.language.model.loading"},
    "harness.language.engine.sampler": BASE
    | {
        "harness.config",
        "harness.language.encoding",
        "harness.language.engine",
        "harness.language.model",
        "harness.language.policy",
        "harness.store.run_folder",
    },
    "harness.language.benchmark.lm": BASE
    | {
        "harness.language.model.decoding",
        "harness.language.model.packing",
        "harness.language.policy",
        "harness.language.model.sampling",
    }
    | {"harness.store.partial_results"},
    "harness.phases.__init__": set(),
    "harness.language.phases.generate": BASE
    | {"harness.train.nonfinite"}
    | {"harness.config", "harness.language.encoding", "harness.language.policy", "harness.progress"}
    | {"harness.store.partial_results"},
    "harness.train.score": BASE
    | {"harness.train.nonfinite"}
    | {"harness.language.model.packing", "harness.language.policy", "harness.progress"},
    "harness.train.core": BASE
    | {"harness.train.schedule"}
    | {"harness.train.nonfinite_step"}
    | {
        "harness.train.prefetch",
        "harness.config",
        "harness.language.model.packing",
        "harness.train.oom",
        "harness.language.policy",
        "harness.progress",
    }
    | {"objectives"}
    | {"harness.train.checkpointing"},
    "harness.analysis.clusters": {"harness.language.data.columns", "harness.errors"},
    "harness.language.benchmark.task_clusters": BASE
    | {
        "harness.analysis.clusters",
        "harness.language.benchmark.standard_errors",
        "harness.loop.suite",
        "harness.language.benchmark.task_trial",
    },
    "harness.language.benchmark.standard_errors": {"harness.analysis.clusters"},
    "harness.language.generation_check": {"harness.errors", "harness.language.benchmark.lm"},
    "harness.language.benchmark.task_surroundings": {"harness.language.policy", "harness.language.text.template_limits"},
    "harness.language.benchmark.task_errors": {"harness.errors"},
    "harness.language.benchmark.lm_eval_benchmark": BASE
    | {
        "harness.language.generation_check",
        "harness.language.benchmark.standard_errors",
        "harness.language.benchmark.task_errors",
        "harness.language.benchmark.task_surroundings",
    }
    | {
        "harness.loop.benchmark",
        "harness.sources.rows",
        "harness.language.benchmark.lm",
        "harness.language.policy",
        "harness.progress",
        "harness.loop.suite",
    }
    | {
        "harness.language.benchmark.nltk_data",
        "harness.store.partial_results",
        "harness.language.benchmark.suite_check",
        "harness.language.benchmark.task_definition",
        "harness.language.hub_items",
    }
    | {
        "harness.language.benchmark.own_shots",
        "harness.language.benchmark.row_scores",
        "harness.language.benchmark.task_file",
        "harness.language.benchmark.task_notices",
        "harness.language.benchmark.task_trial",
    }
    | {"harness.language.benchmark.task_clusters"},
    "harness.language.phases.diagnostics": BASE
    | {"harness.train.nonfinite"}
    | {
        "harness.config",
        "harness.language.encoding",
        "harness.language.model.packing",
        "harness.language.policy",
        "harness.progress",
    },
    "harness.train.machine": {"harness.language.policy"},
    "harness.loop.phase_runner": {"harness.store.phase_writer", "harness.store.versions"}
    | BASE
    | {"harness.train.schedule"}
    | {
        "harness.train.nonfinite",
        "harness.loop.trials",
        "harness.language.text.first_ids",
        "harness.loop.benchmark",
        "harness.config",
        "harness.language.data.dataset",
        "harness.discovery.variants",
        "harness.language.encoding",
        "harness.language.engine",
        "harness.store.adapter_files",
        "harness.phases",
        "harness.language.policy",
    }
    | {"harness.progress", "harness.store.phase_cache", "harness.store.run_folder", "objectives"}
    | {"harness.store.partial_results", "harness.train.checkpointing"},
    "harness.loop.trials": BASE | {"harness.config", "harness.discovery.variants"},
    "harness.loop.training_loop": {"harness.discovery.process_state"}
    | BASE
    | {"harness.train.nonfinite"}
    | {
        "harness.loop.trials",
        "harness.store.finished_phases",
        "harness.loop.phase_runner",
        "harness.store.small_files",
        "harness.reporting.tables",
    },
    "harness.planning.plan_size": {"harness.config", "harness.errors"},
    "harness.discovery.process_state": set(),
    "harness.loop.plan": {"harness.config", "harness.discovery.variants", "objectives"},
    "harness.language.throughput": BASE
    | {
        "harness.loop.benchmark",
        "harness.loop.trials",
        "harness.config",
        "harness.discovery.variants",
        "harness.language.encoding",
        "harness.phases",
    }
    | {"harness.loop.plan", "harness.language.policy", "harness.loop.phase_runner", "harness.store.run_folder"}
    | {"harness.store.provenance"},
    "harness.planning.cost_estimate": {"harness.language.throughput", "harness.loop.plan"},
    "harness.commands.plan": BASE
    | {
        "harness.planning.cost_estimate",
        "harness.loop.benchmark",
        "harness.language.throughput",
        "harness.commands.console",
        "harness.config",
        "harness.discovery.variants",
    }
    | {
        "harness.analysis.clusters",
        "harness.loop.plan",
        "harness.planning.prepare",
        "harness.progress",
        "harness.planning.remaining",
        "harness.analysis.stats",
        "harness.store.run_folder",
        "harness.loop.suite",
    },
    "harness.launch.workers": BASE
    | {
        "harness.config",
        "harness.loop.training_loop",
        "harness.planning.prepare",
        "harness.progress",
        "harness.store.run_folder",
    },
    "harness.planning.prepare": BASE
    | {"harness.train.machine", "harness.settings.paths"}
    | {
        "harness",
        "harness.loop.benchmark",
        "harness.loop.trials",
        "harness.sources.offline",
        "harness.config",
        "harness.language.data.dataset",
        "harness.discovery.variants",
        "harness.language.engine",
        "harness.loop.training_loop",
        "harness.security.redact",
        "harness.sources.mirror",
        "harness.judge",
        "harness.language.model",
        "harness.discovery.copies",
        "harness.phases",
        "harness.loop.plan",
        "harness.language.policy",
        "harness.planning.preflight",
        "harness.progress",
        "harness.loop.phase_runner",
        "harness.store.phase_cache",
        "harness.store.run_folder",
        "harness.loop.stored_data",
        "harness.loop.suite",
        "harness.language.text.templates",
    }
    | {"harness.store.provenance", "harness.planning.remaining", "harness.store.small_files", "harness.store.versions"},
    "harness.planning.preflight": BASE
    | {"harness.discovery.batches", "harness.discovery.checks", "harness.discovery.process_state", "objectives"}
    | {
        "harness.config",
        "harness.language.data.dataset",
        "harness.discovery.variants",
        "harness.language.model.checkpointing",
        "harness.language.policy",
    }
    | {
        "harness.loop.trials",
        "harness.language.model.decoding",
        "harness.loop.suite",
        "harness.language.text.templates",
        "harness.language.text.token_notices",
    },
    "harness.analysis.stats": set(),
    "harness.analysis.stability": {"harness.analysis.stats"},
    "harness.analysis.item_errors": {"harness.analysis.stats"},
    "harness.analysis.comparison": {"harness.analysis.item_errors", "harness.analysis.stats"},
    "harness.analysis.collapse": set(),
    "harness.analysis.facts": BASE
    | {
        "harness.analysis.earlier_tables",
        "harness.settings.safe_paths",
        "harness.store.finished_phases",
        "harness.analysis.score_scale",
        "harness.store.run_folder",
    },
    "harness.settings.process_environment": {"harness.errors", "harness.settings.paths", "harness.security.escaping"},
    "harness.reporting.figures": BASE
    | {"harness.settings.process_environment"}
    | {
        "harness.analysis.facts",
        "harness.reporting.figures",
        "harness.analysis.score_scale",
        "harness.security.escaping",
        "harness.store.run_folder",
    },
    "harness.reporting.tables": BASE
    | {"harness.analysis.earlier_tables"}
    | {
        "harness.analysis.collapse",
        "harness.analysis.comparison",
        "harness.analysis.facts",
        "harness.reporting.figures",
        "harness.analysis.stability",
        "harness.analysis.stats",
    }
    | {
        "harness.analysis.item_errors",
        "harness.analysis.score_scale",
        "harness.store.provenance",
        "harness.security.escaping",
        "harness.store.run_folder",
        "harness.loop.study",
        "harness.reporting.tables",
        "harness.store.versions",
    },
    "harness.reporting.report.__init__": {"harness.reporting.report"},
    "harness.reporting.report.blocks": {"harness", "harness.security.escaping"},
    "harness.reporting.report.content": {"harness.analysis.text_columns"}
    | BASE
    | {
        "harness.analysis.facts",
        "harness.reporting.figures",
        "harness.security.redact",
        "harness.reporting.report.blocks",
        "harness.reporting.report.content",
    }
    | {
        "harness.analysis.score_scale",
        "harness.security.escaping",
        "harness.analysis.stats",
        "harness.store.run_folder",
        "harness.reporting.tables",
        "harness.store.versions",
    },
    "harness.reporting.report.page": set(),
    "harness.reporting.report.document": BASE
    | {"harness.reporting.figures", "harness.store.output_folders"}
    | {"harness.analysis.facts", "harness.reporting.report", "harness.store.run_folder"},
    "harness.store.phase_cache": BASE
    | {"harness.store.verification", "harness.settings.safe_paths", "harness.store.provenance", "harness.store.run_folder"},
    "harness.loop.study": {"harness.settings.toml_files"} | BASE | {"harness.config", "harness.settings.safe_paths"},
    "harness.commands.__init__": set(),
    "harness.commands.console": {"harness.security.console"},
    "harness.commands.run": {"harness.settings.numbers", "harness.analysis.text_columns"}
    | BASE
    | {
        "harness.reporting.figures",
        "harness.store.lease",
        "harness.store.output_folders",
        "harness.planning.plan_size",
        "harness.settings.process_environment",
    }
    | {
        "harness.commands",
        "harness.config",
        "harness.launch.workers",
        "harness.settings.safe_paths",
        "harness.planning.prepare",
        "harness.progress",
    }
    | {"harness.store.untrusted", "harness.security.escaping"}
    | {
        "harness.reporting.report",
        "harness.store.small_files",
        "harness.analysis.stats",
        "harness.store.run_folder",
        "harness.loop.suite",
        "harness.reporting.tables",
    },
    "harness.commands.inspect": BASE
    | {
        "harness.commands",
        "harness.discovery.copies",
        "harness.settings.paths",
        "harness.store.output_folders",
        "harness.store.finished_phases",
        "harness.store.run_folder",
        "harness.store.untrusted",
    },
    "harness.commands.merge": {
        "harness.commands",
        "harness.errors",
        "harness.store.merging",
        "harness.store.small_files",
        "harness.store.run_folder",
    }
    | {"harness.store.untrusted", "harness.reporting.tables"},
    "harness.commands.listings": BASE
    | {"harness.settings.paths"}
    | {
        "harness.commands",
        "harness.config",
        "harness.discovery.variants",
        "harness.judge",
        "harness.language.benchmark.nltk_data",
    }
    | {"harness.loop.benchmark", "harness.discovery.isolated"}
    | {
        "harness.phases",
        "harness.planning.prepare",
        "harness.loop.suite",
        "harness.language.benchmark.suite_check",
        "harness.language.benchmark.task_notices",
        "harness.language.hub_items",
    },
    "harness.commands.fetch": BASE
    | {"harness.store.output_folders"}
    | {
        "harness.commands",
        "harness.sources.fetch",
        "harness.sources.mirror",
        "harness.phases",
        "harness.progress",
        "harness.loop.suite",
    }
    | {"harness.sources.confinement", "harness.language.benchmark.suite_check", "harness.language.hub_items"},
    "harness.commands.study": BASE
    | {"harness.settings.paths"}
    | {
        "harness.commands",
        "harness.config",
        "harness.discovery.variants",
        "harness.analysis.facts",
        "harness.planning.prepare",
        "harness.store.run_folder",
    }
    | {"harness.store.provenance", "harness.loop.study", "harness.reporting.tables", "harness.store.versions"},
    "harness.reporting.card": BASE
    | {"harness.analysis.facts", "harness.store.adapter_files", "harness.security.escaping", "harness.reporting.tables"}
    | {"harness.store.versions"},
    "harness.commands.push": {"harness.store.output_folders"}
    | {"harness.reporting.card", "harness.commands", "harness.errors", "harness.analysis.facts", "harness.store.untrusted"},
    "harness.commands.theory": {"harness.store.output_folders"} | {"harness.commands.console", "harness.theory"},
    "harness.theory.__init__": set(),
    "harness.theory.exact": {"objectives"},
    "harness.theory.claims": {"harness.config", "harness.discovery.variants", "harness.theory.exact"},
    "harness.theory.view": BASE
    | {
        "harness.reporting.figures",
        "harness.reporting.report",
        "harness.security.escaping",
        "harness.store.run_folder",
        "harness.theory.claims",
    },
    "harness.cli": {
        "harness.errors",
        "harness.commands",
        "harness.security.redact",
        "harness.settings.paths",
        "harness.security.escaping",
    }
    | {"harness.settings.process_environment"},
}
LAB_MAY = BASE | {"harness.lab"}
NO_TORCH = (
    "stats",
    "stability",
    "item_errors",
    "comparison",
    "collapse",
    "study",
    "facts",
    "figures",
    "tables",
    "report",
    "cli",
    "commands",
    "config",
    "store",
    "versions",
    "played",
    "small_files",
    "merging",
    "suite",
    "records",
    "errors",
)


def modules():
    for package in ("harness", "objectives"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path):
    """Every name a file imports, at any depth, type-checking blocks included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module in ("harness", "harness.phases", "harness.lab", "harness.reporting.report"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name.strip("_").islower())


def ours(name):
    return name.split(".")[0] in ("harness", "objectives")


def permitted(name, allowed):
    return any(name == a or (a not in ("harness", "objectives") and name.startswith(a + ".")) for a in allowed)


def within(name):
    """A module and the packages it lies in, nearest first."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in modules()])
def test_every_module_imports_only_what_the_table_allows(name, path):
    found = {i for i in imports(path) if ours(i)}
    if name.startswith("objectives.") and name not in ALLOWED:
        assert found == {"objectives"}
        return
    allowed = LAB_MAY if name.startswith("harness.lab") else ALLOWED[next((n for n in within(name) if n in ALLOWED), name)]
    found -= {"harness.phases", "harness.reporting.report", "harness.lab", "harness", "harness.__version__"}
    assert {i for i in found if not permitted(i, allowed)} == set()


def test_objectives_import_torch_and_the_standard_library_only():
    for name, path in modules():
        if name.startswith("objectives"):
            outside = {i.split(".")[0] for i in imports(path)} - {"objectives", "torch"}
            assert outside <= {"__future__", "abc", "collections", "dataclasses", "math", "typing"}, name


def test_phases_never_import_each_other():
    for name, path in modules():
        if name.startswith("harness.phases."):
            assert not [i for i in imports(path) if i.startswith("harness.phases.")], name


def test_lm_eval_is_imported_by_few_files():
    """The phase that runs its tasks, the model they ask, what surrounds the two, its registries, a trial of a task."""
    using = [n for n, p in modules() if any(i.split(".")[0] == "lm_eval" for i in imports(p))]
    names = ("generation_check", "lm", "phases.evaluate", "registered", "standard_errors", "task_errors", "task_surroundings",
             "task_trial", "template_limits")  # fmt: skip
    assert using == [f"harness.{n}" for n in names]


def test_openai_is_imported_by_one_file():
    using = [n for n, p in modules() if any(i.split(".")[0] == "openai" for i in imports(p))]
    assert using == ["harness.language.judge.endpoint"]


def test_views_never_import_torch():
    for name, path in modules():
        if name.split(".")[1] in NO_TORCH:
            assert "torch" not in {i.split(".")[0] for i in imports(path)}, name


def test_no_objective_is_named_in_the_harness():
    """Neither in code nor in text a user sees; the words of a docstring's example are what is left."""
    names = set(list_objectives())
    for name, path in modules():
        if not name.startswith("harness"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.FunctionDef, ast.ClassDef)) and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip # noqa: E501
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                assert node.value not in names, f"{name}:{node.lineno} names {node.value}"
            if isinstance(node, (ast.Name, ast.Attribute)):
                word = node.id if isinstance(node, ast.Name) else node.attr
                assert word not in names, f"{name}:{node.lineno} names {word}"


def test_every_file_says_what_it_is_in_its_first_line():
    for name, path in modules():
        assert re.match(r'"""\S.{20,}', path.read_text(encoding="utf-8")), name


def test_no_file_has_a_second_idea():
    """About 300 lines; a little more is no crime."""
    for name, path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 360, name


def test_the_top_level_is_what_the_readme_says():
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and not p.name.endswith("egg-info")}
    assert folders - {"build", "dist"} == {"harness", "objectives", "results", "tests", "reports"}
