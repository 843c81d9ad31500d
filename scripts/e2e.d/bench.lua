-- What wrk measured, as `name value` lines: requests, bytes, seconds, milliseconds of the median, the 95th and the 99th
-- percentile, and how many answers or connections failed.
function done(summary, latency)
    local errors = summary.errors
    local line = "requests %d\nbytes %d\nseconds %.6f\np50 %.3f\np95 %.3f\np99 %.3f\nfailed %d\n"
    io.write(string.format(line, summary.requests, summary.bytes, summary.duration / 1e6,
        latency:percentile(50.0) / 1000, latency:percentile(95.0) / 1000, latency:percentile(99.0) / 1000,
        errors.status + errors.connect + errors.read + errors.write))
end
