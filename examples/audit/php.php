<?php
// A webhook for Toloka with a report route, for `crowdhook audit`, in plain PHP:
//
//   TOLOKA_SECRET=12345 REPORT_TOKEN=only-here php -S 127.0.0.1:3000 php.php
//   npx crowdhook audit http://127.0.0.1:3000/toloka-webhook --provider toloka --secret 12345 \
//     --report http://127.0.0.1:3000/handled/only-here
//
// The lines marked with a number are the report route. It shows handled events to anyone who asks, so do
// not use it in production. It exists only with a REPORT_TOKEN, and only the loopback interface reaches it.
declare(strict_types=1);

const TOLERANCE = 300; // seconds, before and after
const LIMIT = 5 * 1024 * 1024; // bytes
const FIELDS = ['v' => '/\A\d{1,15}\z/', 'ts' => '/\A\d{1,15}\z/', 'sign' => '/\A[0-9a-f]{40,64}\z/'];

// PHP keeps no state between requests, so files hold the handled ids, one per line.
$folder = getenv('STATE') ?: sys_get_temp_dir() . '/crowdhook-audit';
is_dir($folder) || mkdir($folder, 0700);
define('DONE', "$folder/done");
define('HANDLED', "$folder/handled"); // 1

/** Your code. If it throws, the event failed and runs again on its next delivery. */
function handle(object $event): void
{
    error_log(json_encode([$event->type ?? null, $event->uuid]));
}

function isGenuine(string $header, string $body): bool
{
    $secret = (string) getenv('TOLOKA_SECRET');
    preg_match_all('/(\w+)=(\w*)/', $header, $found);
    if (substr_count($header, '{') > 1) {
        return false; // of two headers PHP makes one
    }
    $fields = array_combine($found[1], $found[2]);
    foreach (FIELDS as $name => $form) {
        if (!preg_match($form, $fields[$name] ?? '')) {
            return false;
        }
    }
    ['v' => $v, 'ts' => $ts, 'sign' => $sign] = $fields;
    // Anyone could sign with an empty secret. Toloka leaves out leading zeros.
    return $secret !== ''
        && hash_equals(hash_hmac('sha256', "$ts.$v.$body", $secret), str_pad($sign, 64, '0', STR_PAD_LEFT))
        && abs(microtime(true) - $ts / 1000) <= TOLERANCE;
}

/** Returns the events, or null if the body is no envelope. Toloka's test notification is a bare event. */
function eventsOf(string $body): ?array
{
    $envelope = json_decode($body);
    if (!is_object($envelope)) {
        return null;
    }
    $events = property_exists($envelope, 'events') ? $envelope->events : [$envelope];
    if (!is_array($events)) {
        return null;
    }
    foreach ($events as $event) {
        if (!is_object($event) || !is_string($event->uuid ?? null)) {
            return null;
        }
    }
    return $events;
}

function handleOnce(object $event): bool
{
    $line = json_encode($event->uuid) . "\n";
    $done = fopen(DONE, 'a+');
    flock($done, LOCK_EX); // held until the event is done, one event at a time
    try {
        while (($known = fgets($done)) !== false) {
            if ($known === $line) {
                return true;
            }
        }
        handle($event);
        fwrite($done, $line);
        file_put_contents(HANDLED, $line, FILE_APPEND); // 2
        return true;
    } catch (Throwable $error) {
        error_log('failed ' . get_class($error));
        return false;
    } finally {
        fclose($done);
    }
}

function status(): int
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        header('Allow: POST');
        return 405;
    }
    $body = file_get_contents('php://input', length: LIMIT + 1);
    if (strlen($body) > LIMIT) {
        return 413;
    }
    if (!isGenuine($_SERVER['HTTP_TOLOKA_SIGNATURE'] ?? '', $body)) {
        return 401;
    }
    $events = eventsOf($body);
    if ($events === null) {
        return 400;
    }
    return in_array(false, array_map(handleOnce(...), $events), true) ? 500 : 200;
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$token = (string) getenv('REPORT_TOKEN');
if ($path === '/toloka-webhook') {
    http_response_code(status());
} elseif ($token !== '' && $path === "/handled/$token") { // 3
    $lines = is_file(HANDLED) ? file(HANDLED, FILE_IGNORE_NEW_LINES) : []; // 4
    header('Content-Type: application/json'); // 5
    echo json_encode(['handled' => array_map('json_decode', $lines)]); // 6
} else {
    http_response_code(404);
}
