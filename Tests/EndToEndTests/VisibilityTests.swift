import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension EndToEnd {
    /// What a daemon says of itself: to programs, and to people who watch.
    @Suite struct VisibilityTests {
        private struct Status: Decodable {
            struct Image: Decodable {
                struct Layer: Decodable {
                    var digest: String
                    var format: String?
                    var indexSource: String?
                    var sealed: Bool
                    var contentBytes: Int?
                    var contentBytesHere: Int?
                    var fetched: [String: Int]?
                }
                var reference: String
                var complete: Bool?
                var layers: [Layer]?
            }
            struct Fetching: Decodable {
                struct Amount: Decodable {
                    var requests: Int
                    var bytes: Int
                }
                var causes: [String: Amount]
                var readHits: Int
                var readMisses: Int
                var waitingReaders: Int
            }
            var images: [Image]
            var fetching: Fetching
            var residentBytes: Int
        }

        private func status(_ larder: MountedLarder) throws -> Status {
            try JSONDecoder().decode(Status.self, from: Data(try Files.read("\(larder.mountPoint)/status.json").utf8))
        }

        @Test func statusTellsWhatWasFetchedAndWhyAndAgreesWithTheRegistry() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let larder = try MountedLarder(["--no-background-fill"], environment: ["LARDER_PROFILES": "off"])
            let image = "\(registry.host)/larder/large:estargz"
            _ = try Program.check(["ls", larder.image(image)])
            #expect(try status(larder).images.first.map { $0.layers == nil && $0.complete == nil } == true)
            _ = try Program.check(["cat", "\(larder.rootfs(image))/usr/lib/os-release"])
            // Read-ahead may still be under way; what has come never becomes less.
            let sent = { registry.transfers.filter { $0.path.contains("/blobs/") && $0.status == 206 }.reduce(0) { $0 + $1.bytes } }
            let now = try status(larder)
            let found = try #require(now.images.first { $0.reference == image })
            #expect(found.complete == false)
            let layers = try #require(found.layers)
            #expect(layers.allSatisfy { $0.format == "estargz" && $0.indexSource == "table-of-contents" && !$0.sealed })
            #expect(layers.contains { ($0.fetched?["demand"] ?? 0) > 0 && ($0.contentBytesHere ?? 0) > 0 })
            #expect((now.fetching.causes["demand"]?.requests ?? 0) >= 1)
            #expect(now.fetching.readMisses >= 1 && now.fetching.waitingReaders == 0)
            let fetched = now.fetching.causes.values.reduce(0) { $0 + $1.bytes }
            #expect(fetched > 0)
            // What is under way comes to the one sum a moment before it comes to the other.
            #expect(Wait.until(60) {
                guard let now = try? status(larder) else { return false }
                let byLayer = now.images.flatMap { $0.layers ?? [] }.reduce(0) { $0 + ($1.fetched?.values.reduce(0, +) ?? 0) }
                return byLayer == now.fetching.causes.values.reduce(0) { $0 + $1.bytes }
            })
            #expect(Wait.until(60) { sent() >= (now.fetching.causes["demand"]?.bytes ?? 0) }, "the registry has sent \(sent())")
            #expect(now.residentBytes > 1_000_000)
        }

        @Test func metricsAreWhatPrometheusReads() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let larder = try MountedLarder(["--max-size", "10g"])
            _ = try Program.check(["cat", "\(larder.rootfs("\(registry.host)/larder/small:estargz"))/top/hello"])
            let first = try Exposition(try Files.read("\(larder.mountPoint)/metrics"))
            for name in [
                "larder_resident_bytes", "larder_fetch_requests_total", "larder_fetch_bytes_total", "larder_read_hits_total", "larder_read_misses_total", "larder_evictions_total",
                "larder_store_limit_bytes", "larder_layers_open", "larder_waiting_readers", "larder_registry_requests_total", "larder_fuse_requests_total",
            ] {
                #expect(first.types[name] != nil, "no \(name)")
            }
            #expect(first.samples[#"larder_fetch_requests_total{cause="demand"}"#].map { $0 >= 1 } == true)
            #expect(first.samples["larder_store_limit_bytes"] == 10_737_418_240 || first.samples["larder_store_limit_bytes"] == 10_000_000_000)
            try Program.check(["wc", "-c", "\(larder.rootfs("\(registry.host)/larder/small:estargz"))/data/large"])
            let second = try Exposition(try Files.read("\(larder.mountPoint)/metrics"))
            for (name, value) in first.samples where first.types[Exposition.family(name)] == "counter" {
                #expect(second.samples[name].map { $0 >= value } == true, "\(name) went back")
            }
        }

        @Test func watchingWithoutATerminalPrintsLinesAndEndsWithASignal() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let larder = try MountedLarder(environment: ["LARDER_PROFILES": "off"])
            let image = "\(registry.host)/larder/small:estargz"
            _ = try Program.check(["cat", "\(larder.rootfs(image))/top/hello"])
            let watch = try Program([LarderCommand.binary, "status", "--watch", "--interval", "100ms", "--store", larder.store], environment: LarderCommand.environment(home: larder.home))
            #expect(Wait.until(120) { watch.outputSoFar.split(separator: "\n").count { $0.contains("\(larder.mountPoint) image=\(image) ") } >= 3 })
            watch.signal(SIGINT)
            let output = try watch.wait(limit: 120)
            #expect(output.status == 0)
            #expect(!output.text.contains("\u{1B}"))
            #expect(try larder.larder("status", "--watch", "--json").status == 64)
            #expect(try larder.larder("status", "--watch", "--interval", "never").status == 64)
        }

        @Test func watchingOnATerminalDrawsLayersAndLeavesTheCursor() throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            let larder = try MountedLarder(environment: ["LARDER_PROFILES": "off"])
            let image = "\(registry.host)/larder/small:estargz"
            _ = try Program.check(["cat", "\(larder.rootfs(image))/top/hello"])
            // A terminal of 30 lines and 100 columns; Ctrl-C after the third view.
            let script = """
                import fcntl, os, pty, struct, sys, termios
                pid, fd = pty.fork()
                if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
                seen, sent = b'', False
                while True:
                    try: part = os.read(fd, 65536)
                    except OSError: break
                    if not part: break
                    seen += part
                    if not sent and seen.count(b'\\x1b[H') >= 3:
                        os.write(fd, b'\\x03'); sent = True
                os.write(1, seen)
                sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                """
            let output = try Program.run(
                ["python3", "-c", script, LarderCommand.binary, "status", "--watch", "--interval", "100ms", "--store", larder.store],
                environment: LarderCommand.environment(home: larder.home), limit: 240)
            #expect(output.status == 0, "\(output.errors)")
            let views = output.text.split(separator: "\u{1B}[H")
            #expect(views.count >= 3)
            let last = try #require(views.last)
            #expect(last.contains(image) && last.contains("estargz") && last.contains("table-of-contents") && last.contains("["))
            #expect(output.text.hasPrefix("\u{1B}[?25l") && output.text.contains("\u{1B}[?25h"))
            for line in last.split(whereSeparator: \.isNewline) {
                let plain = line.replacing("\u{1B}[K", with: "").replacing("\u{1B}[J", with: "").replacing("\u{1B}[?25h", with: "").replacing("^C", with: "")
                #expect(plain.count <= 100, "\(plain)")
            }
        }
    }
}

/// The text format of Prometheus, version 0.0.4, by its rules: a HELP and a TYPE line before the samples of a name, which stand together; no
/// sample twice; names and labels of the right letters; counters end in _total.
private struct Exposition {
    struct Broken: Error, CustomStringConvertible {
        let description: String
    }

    private(set) var types: [String: String] = [:]
    private(set) var samples: [String: Double] = [:]

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Broken(description: "the last line does not end") }
        var helped: Set<String> = []
        var done: Set<String> = []
        var current = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            if line.hasPrefix("# HELP ") {
                let name = String(line.dropFirst(7).prefix { $0 != " " })
                guard helped.insert(name).inserted else { throw Broken(description: "HELP twice: \(name)") }
                guard line.count > name.count + 10 else { throw Broken(description: "no help: \(line)") }
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.split(separator: " ")
                guard parts.count == 4, ["counter", "gauge"].contains(parts[3]) else { throw Broken(description: "\(line)") }
                let name = String(parts[2])
                guard helped.contains(name), types[name] == nil else { throw Broken(description: "TYPE without HELP, or twice: \(line)") }
                types[name] = String(parts[3])
                done.insert(current)
                current = name
                guard (parts[3] == "counter") == name.hasSuffix("_total") else { throw Broken(description: "a name that misleads: \(line)") }
            } else {
                guard let space = line.utf8.lastIndex(of: UInt8(ascii: " ")), let value = Double(line[line.index(after: space)...]) else { throw Broken(description: "no sample: \(line)") }
                let key = String(line[..<space])
                guard Self.family(key) == current else { throw Broken(description: "out of its place: \(line)") }
                guard Self.isWellFormed(key) else { throw Broken(description: "no sample: \(line)") }
                guard samples.updateValue(value, forKey: key) == nil else { throw Broken(description: "twice: \(key)") }
            }
        }
        guard !samples.isEmpty else { throw Broken(description: "nothing") }
        for name in types.keys where !samples.keys.contains(where: { Self.family($0) == name }) { throw Broken(description: "no sample of \(name)") }
    }

    /// NAME or NAME{LABEL="VALUE",...}, where a value escapes its backslashes, quotes and line ends.
    private static func isWellFormed(_ sample: String) -> Bool {
        func isName(_ text: Substring.UTF8View) -> Bool {
            guard let first = text.first, !(48...57).contains(first) else { return false }
            return text.allSatisfy { (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "_") }
        }
        var rest = Substring(sample).utf8
        let name = rest.prefix { $0 != UInt8(ascii: "{") }
        guard isName(name) else { return false }
        rest = rest.dropFirst(name.count)
        if rest.isEmpty { return true }
        repeat {
            let label = rest.dropFirst().prefix { $0 != UInt8(ascii: "=") }
            guard isName(label) else { return false }
            rest = rest.dropFirst(label.count + 2)
            guard rest.first == UInt8(ascii: "\"") else { return false }
            rest = rest.dropFirst()
            while let byte = rest.first, byte != UInt8(ascii: "\"") {
                rest = rest.dropFirst()
                guard byte == UInt8(ascii: "\\") else { continue }
                guard let escaped = rest.first, "\\\"n".utf8.contains(escaped) else { return false }
                rest = rest.dropFirst()
            }
            guard rest.first == UInt8(ascii: "\"") else { return false }
            rest = rest.dropFirst()
        } while rest.first == UInt8(ascii: ",")
        return rest.elementsEqual("}".utf8)
    }

    /// The name of a sample without its labels.
    static func family(_ sample: String) -> String { String(sample.prefix { $0 != "{" }) }
}
