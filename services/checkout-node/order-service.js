// order-service: charges the client, reserves the stock, and undoes the one if the other fails.
//
// The contract of services/orders.py, in JavaScript: payment first; a failed payment reserves no stock; a failed
// reservation voids the payment, and so does a payment that timed out: it may have gone through.
'use strict'

const fs = require('node:fs')
const http = require('node:http')
const { randomUUID } = require('node:crypto')
const { parseArgs } = require('node:util')

const express = require('express')
const { z } = require('zod')

const tracing = require('./tracing.js')

const SERVICE = 'order-service'
const MAX_BODY_BYTES = 64 * 1024
// Longer than any pause of a run, so that a request never meets a connection that is just being closed.
const KEEP_ALIVE_MS = 600_000

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '8001' },
    'payment-service-url': { type: 'string', default: 'http://127.0.0.1:8002' },
    'inventory-service-url': { type: 'string', default: 'http://127.0.0.1:8003' },
    'upstream-timeout': { type: 'string', default: '2' },
    connections: { type: 'string', default: '20' },
  },
})
const TIMEOUT_S = Number(options['upstream-timeout'])
const BURN_US = Number(process.env.BENCH_INJECTED_CPU_US || 0)
const upstreams = {
  'payment-service': options['payment-service-url'],
  'inventory-service': options['inventory-service-url'],
}
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(options.connections) })

const Item = z.strictObject({ sku: z.string().min(1).max(64), quantity: z.int().min(1).max(1000) })
const Order = z.strictObject({
  items: z.array(Item).min(1).max(100),
  amount: z.int().min(1).max(100_000_000),
  currency: z.string().regex(/^[A-Z]{3}$/),
  payment_token: z.string().min(1).max(128),
})

// An answer other than success: its status says whose fault it is.
class Failure extends Error {
  constructor (status, error, message, extra = {}) {
    super(message)
    Object.assign(this, { status, body: { error, message, service: SERVICE, ...extra } })
  }
}

// ---------------------------------------------------------------- the order

async function order (request, response) {
  // The span that Express made is the parent of this one, and ends with the answer; this one covers the work.
  const confirmation = await tracing.traced('checkout-process', async (span) => {
    const checkout = validated(request.body)
    const orderId = randomUUID()
    span.setAttribute('order.id', orderId)
    const charged = await charge(orderId, checkout)
    const reserved = await reserve(orderId, checkout)
    span.addEvent('order.confirmed', { 'order.id': orderId })
    return {
      order_id: orderId,
      transaction_id: charged.transaction_id,
      inventory_status: reserved.inventory_status,
      timestamp: new Date().toISOString(),
    }
  })
  if (BURN_US) response.on('finish', () => setImmediate(burn))
  response.status(201).json(confirmation)
}

// What is no UTF-8 is refused, not mended.
const utf8 = new TextDecoder('utf-8', { fatal: true })

function validated (body) {
  const result = Order.safeParse(parsed(body))
  if (result.success) return result.data
  const [{ path, message, keys }] = result.error.issues
  const field = [...path, ...(keys ? [keys[0]] : [])]
    .map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at ? '.' : ''}${part}`)).join('') || 'body'
  throw new Failure(422, 'invalid_body', message, { field })
}

function parsed (body) {
  try {
    // Without a body there is no buffer.
    return JSON.parse(Buffer.isBuffer(body) ? utf8.decode(body) : '')
  } catch (error) {
    throw new Failure(422, 'invalid_body', `The body is not JSON: ${error.message}`, { field: 'body' })
  }
}

async function charge (orderId, { amount, currency, payment_token: token }) {
  try {
    return await tracing.traced('process-payment', async (span) => {
      const body = { order_id: orderId, amount, currency, payment_token: token }
      const charged = await post('payment-service', '/payments', body)
      span.addEvent('payment.charged', { amount, currency })
      return charged
    })
  } catch (failure) {
    if (failure.status === 504) await voidPayment(orderId)
    throw failure
  }
}

async function reserve (orderId, { items }) {
  try {
    return await tracing.traced('update-inventory', async (span) => {
      const reserved = await post('inventory-service', '/reservations', { order_id: orderId, items })
      span.addEvent('stock.reserved', { items: items.length })
      return reserved
    })
  } catch (failure) {
    await voidPayment(orderId)
    throw failure
  }
}

async function voidPayment (orderId) {
  try {
    await tracing.traced('void-payment', () => post('payment-service', `/payments/${orderId}/void`, null))
  } catch (failure) {
    // The client's answer is the first failure; this one is in the trace.
    if (!(failure instanceof Failure)) throw failure
  }
}

// ---------------------------------------------------------------- upstreams

async function post (upstream, path, body) {
  const { status, text } = await send(upstream, path, body)
  if (status === 201 || (status === 200 && path.endsWith('/void'))) return JSON.parse(text)
  let told = {}
  try { told = JSON.parse(text) } catch { /* an answer that is no JSON tells nothing */ }
  if (status >= 500 && status !== 502 && status !== 504) {
    throw new Failure(502, 'upstream_failed', `${upstream} answered ${status}.`, { upstream })
  }
  const passedOn = status >= 400 && status < 500 ? status : 502
  const message = told.message || `${upstream} answered ${status}.`
  throw new Failure(passedOn, told.error || 'refused', message, { upstream })
}

function send (upstream, path, body) {
  const content = JSON.stringify(body)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }
  return new Promise((resolve, reject) => {
    const late = new Failure(504, 'upstream_timeout', `${upstream} did not answer within ${TIMEOUT_S} s.`, { upstream })
    const request = http.request(upstreams[upstream] + path, { method: 'POST', headers, agent })
    // Of the whole answer: a socket's own timeout would begin anew with every byte.
    const timer = setTimeout(() => request.destroy(late), TIMEOUT_S * 1000)
    const failed = (error) => {
      clearTimeout(timer)
      const unreachable = `${upstream} could not be reached: ${error.message}.`
      reject(error instanceof Failure ? error : new Failure(502, 'upstream_unreachable', unreachable, { upstream }))
    }
    request.on('error', failed)
    request.on('response', (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', failed)
      response.on('end', () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() })
      })
    })
    request.end(content)
  })
}

// ---------------------------------------------------------------- the server

// CPU of this process, burnt after the answer: the harness's control.
function burn () {
  const before = process.cpuUsage()
  for (;;) {
    const { user, system } = process.cpuUsage(before)
    if (user + system >= BURN_US) return
  }
}

function usage () {
  const { user, system } = process.cpuUsage()
  const kib = {}
  for (const line of fs.readFileSync('/proc/self/smaps_rollup', 'ascii').split('\n')) {
    const match = /^(\w+):\s+(\d+) kB/.exec(line)
    if (match) kib[match[1]] = Number(match[2])
  }
  return {
    service: SERVICE,
    pid: process.pid,
    cpu_ns: (user + system) * 1000,
    memory_bytes: { pss: kib.Pss * 1024, uss: (kib.Private_Clean + kib.Private_Dirty) * 1024, rss: kib.Rss * 1024 },
    upstreams,
  }
}

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.get('/admin/health', (_request, response) => response.json({ service: SERVICE, status: 'ok' }))
app.get('/admin/usage', (_request, response) => response.json(usage()))
app.post('/admin/flush', async (_request, response) => {
  await tracing.flush()
  response.json({ service: SERVICE, flushed: true })
})
app.post('/orders', express.raw({ limit: MAX_BODY_BYTES, type: () => true }), order)
// Express knows an error handler by its four parameters.
app.use((error, _request, response, _next) => {
  const failure = answered(error)
  response.status(failure.status).json(failure.body)
})

function answered (error) {
  if (error instanceof Failure) return error
  if (error.type === 'entity.too.large') {
    return new Failure(413, 'body_too_large', `The body exceeds ${MAX_BODY_BYTES} bytes.`)
  }
  console.error(error)
  return new Failure(500, 'internal', 'The service failed.')
}

const server = app.listen(Number(options.port), '127.0.0.1', (error) => {
  if (error) {
    console.error(`error: ${SERVICE} cannot listen on port ${options.port}: ${error.message}`)
    process.exit(3)
  }
})
server.keepAliveTimeout = KEEP_ALIVE_MS
server.headersTimeout = KEEP_ALIVE_MS + 1000

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(async () => {
      await tracing.shutdown()
      process.exit(0)
    })
    server.closeIdleConnections()
    agent.destroy()
  })
}
