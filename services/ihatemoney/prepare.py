"""Make the tables and the demo project, once: two workers at once are in each other's way.

Its password gets a hash that is checked in no time: with the usual one every request spends 100 ms on that,
and what else it does cannot be told apart from noise.
"""

from ihatemoney.models import Project, db
from ihatemoney.wsgi import application
from werkzeug.security import generate_password_hash

application.test_client().get("/demo")
with application.app_context():
    Project.query.get("demo").password = generate_password_hash("demo", "pbkdf2:sha256:1")
    db.session.commit()
