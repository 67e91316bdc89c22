// How order-service is traced: `node --require ./tracing.js order-service.js`.
//
// Configured by OpenTelemetry's own OTEL_* variables (spans go to http://localhost:4318 over OTLP/HTTP unless they say
// otherwise), and by BENCH_TRACING: none (the default: nothing of OpenTelemetry is loaded), api (instrumented, no SDK),
// simple or batch (the SDK with that span processor).
'use strict'

const mode = process.env.BENCH_TRACING || 'none'
const ADMIN = '/admin/'

// What the service asks of tracing; this is what it gets without any.
const nobody = { addEvent () {}, setAttribute () {} }
exports.traced = (_name, work) => work(nobody)
exports.flush = async () => {}
exports.shutdown = async () => {}

if (mode !== 'none') {
  const { getNodeAutoInstrumentations } = require('@opentelemetry/auto-instrumentations-node')
  const instrumentations = getNodeAutoInstrumentations({
    // Being asked how one is makes no span.
    '@opentelemetry/instrumentation-http': { ignoreIncomingRequestHook: ({ url }) => url.startsWith(ADMIN) },
    // A span for every new connection says nothing of an order, and only some orders would have it.
    '@opentelemetry/instrumentation-dns': { enabled: false },
    '@opentelemetry/instrumentation-net': { enabled: false },
  })
  if (mode === 'api') {
    require('@opentelemetry/instrumentation').registerInstrumentations({ instrumentations })
  } else {
    start(instrumentations)
  }
  exports.traced = traced()
}

function start (instrumentations) {
  const { NodeSDK, resources, tracing } = require('@opentelemetry/sdk-node')
  const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto')
  const exporter = new OTLPTraceExporter()
  const processor = mode === 'simple'
    ? new tracing.SimpleSpanProcessor(exporter)
    : new tracing.BatchSpanProcessor(exporter)
  // OTEL_SERVICE_NAME wins.
  const names = process.env.OTEL_SERVICE_NAME ? {} : { 'service.name': 'order-service' }
  const sdk = new NodeSDK({
    instrumentations, resource: resources.resourceFromAttributes(names), spanProcessors: [processor],
  })
  sdk.start()
  exports.flush = () => processor.forceFlush()
  exports.shutdown = () => sdk.shutdown()
}

// A span around some work: OK (1) where it comes to its end, ERROR (2) with the exception where it does not.
function traced () {
  const { SpanStatusCode, trace } = require('@opentelemetry/api')
  const tracer = trace.getTracer('order-service')
  return (name, work) => tracer.startActiveSpan(name, async (span) => {
    try {
      const result = await work(span)
      span.setStatus({ code: SpanStatusCode.OK })
      return result
    } catch (error) {
      span.recordException(error)
      span.setStatus({ code: SpanStatusCode.ERROR, message: `${error.name}: ${error.message}` })
      throw error
    } finally {
      span.end()
    }
  })
}
