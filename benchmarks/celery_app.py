"""The application under Celery: ``celery -A benchmarks.celery_app worker``."""

from __future__ import annotations

import os

from flask_woo_events.tasks import make_celery

from . import doom
from .intake_apps import ours

doom.from_environment()
flask_app = ours()
flask_app.config["CELERY"] = {"broker_url": os.environ["CHAOS_BROKER"]}
celery = make_celery(flask_app)
