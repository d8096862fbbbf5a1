# A webhook for Toloka with a report route, for `crowdhook audit`, in Ruby on WEBrick (`gem install webrick`):
#
#   TOLOKA_SECRET=12345 REPORT_TOKEN=only-here ruby ruby.rb
#   npx crowdhook audit http://127.0.0.1:3000/toloka-webhook --provider toloka --secret 12345 \
#     --report http://127.0.0.1:3000/handled/only-here
#
# The lines marked with a number are the report route. It shows handled events to anyone who asks, so do
# not use it in production. It exists only with a REPORT_TOKEN, and only the loopback interface reaches it.
require "json"
require "openssl"
require "set"
require "webrick"

SECRET = ENV.fetch("TOLOKA_SECRET")
abort "TOLOKA_SECRET is empty: anyone could sign with that." if SECRET.empty?
TOLERANCE = 300 # seconds, before and after
LIMIT = 5 * 1024 * 1024 # bytes
FIELDS = { "v" => /\A\d{1,15}\z/, "ts" => /\A\d{1,15}\z/, "sign" => /\A\h{40,64}\z/ }
$stdout.sync = true

HANDLED = [] # 1
DONE = Set.new # in memory: several processes need a store that they share
ONE_AT_A_TIME = Mutex.new

# Your code. If it raises, the event failed and runs again on its next delivery.
def handle(event)
  puts "#{event["type"]} #{event["uuid"]}"
end

def genuine?(header, body)
  # WEBrick joins two headers into one.
  return false if header.to_s.count("{") > 1

  fields = header.to_s.scan(/(\w+)=(\w*)/).to_h
  return false unless FIELDS.all? { |name, form| form.match?(fields[name].to_s) }

  v, ts, sign = fields.values_at("v", "ts", "sign")
  digest = OpenSSL::HMAC.hexdigest("SHA256", SECRET, "#{ts}.#{v}.".b + body.b)
  # Toloka leaves out leading zeros.
  OpenSSL.fixed_length_secure_compare(digest, sign.rjust(64, "0")) &&
    (Time.now.to_f - ts.to_i / 1000.0).abs <= TOLERANCE
end

# Returns the events of an envelope, or nil if the JSON is not an envelope. Toloka's test notification is a bare event.
def events_of(body)
  envelope = JSON.parse(body.dup.force_encoding(Encoding::UTF_8))
  return unless envelope.is_a?(Hash)

  events = envelope.fetch("events", [envelope])
  return unless events.is_a?(Array)

  events if events.all? { |event| event.is_a?(Hash) && event["uuid"].is_a?(String) }
rescue JSON::ParserError, EncodingError
  nil
end

def handle_once(event)
  ONE_AT_A_TIME.synchronize do
    return true if DONE.include?(event["uuid"])

    handle(event)
    DONE << event["uuid"]
    HANDLED << event["uuid"] # 2
    true
  end
rescue StandardError => e
  warn "failed #{event["uuid"]} #{e.class}"
  false
end

class Webhook < WEBrick::HTTPServlet::AbstractServlet
  def do_POST(request, response)
    # Read in pieces, so that the app keeps no more than the limit.
    body = String.new(encoding: Encoding::BINARY)
    size = 0
    request.body do |piece|
      size += piece.bytesize
      body << piece if size <= LIMIT
    end
    response.status = status_of(request, body, size)
  end

  def do_GET(_request, response)
    response.status = 405
    response["Allow"] = "POST"
  end
  %w[HEAD PUT PATCH DELETE OPTIONS].each { |name| alias_method "do_#{name}", :do_GET }

  private

  def status_of(request, body, size)
    return 404 unless request.path_info.empty?
    return 413 if size > LIMIT
    return 401 unless genuine?(request["Toloka-Signature"], body)
    return 400 unless (events = events_of(body))

    events.map { |event| handle_once(event) }.all? ? 200 : 500
  end
end

quiet = WEBrick::Log.new(nil, WEBrick::Log::ERROR)
port = Integer(ENV.fetch("PORT", "3000"))
server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: port, Logger: quiet, AccessLog: [])
server.mount "/toloka-webhook", Webhook
if (token = ENV["REPORT_TOKEN"]).to_s != "" # 3
  server.mount_proc("/handled/#{token}") { |_, response| response.body = { handled: HANDLED }.to_json } # 4
end # 5
puts "Listening on http://127.0.0.1:#{server.listeners.first.addr[1]}"
%w[INT TERM].each { |signal| trap(signal) { server.shutdown } }
server.start
