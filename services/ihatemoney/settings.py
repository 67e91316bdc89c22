"""Settings of ihatemoney for a measured run: a database of the instance alone, no limits, no mail."""

SQLALCHEMY_DATABASE_URI = "sqlite:////proc/self/cwd/ihatemoney.db"
SQLALCHEMY_TRACK_MODIFICATIONS = False
SECRET_KEY = "not-secret-here"
RATELIMIT_ENABLED = False
MAIL_SUPPRESS_SEND = True
ACTIVATE_DEMO_PROJECT = True
ACTIVATE_ADMIN_DASHBOARD = False
