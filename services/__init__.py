"""The system under test: four services that carry out a checkout.

`frontend-app` POST /checkout -> `order-service` POST /orders -> `payment-service`
POST /payments, then `inventory-service` POST /reservations.

Reading order: `checkout` (the messages), `frontend`, `orders`, `payments`,
`inventory` (one service each), `web` (what they share as HTTP services),
`telemetry` (the only module that imports OpenTelemetry), `server` (uvicorn),
`__main__` (the command line).

Nothing here imports `bench`; the two meet at HTTP and environment variables.
Whatever is not the declared factor is the same in every setup: the admin
paths, the server, the clients, the order of the work.
"""
