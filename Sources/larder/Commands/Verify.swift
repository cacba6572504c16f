import ArgumentParser
import Store
import Synchronization

struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the whole store and hold everything against its digest.",
        discussion: "Exits with 5 when something is wrong. Works beside running mounts."
    )

    @Flag(name: .long, help: "Move what is damaged out of the way, so that it is fetched again.")
    var repair = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let store = try Settings(store: store).openStore(create: false)
        let bar = Mutex(ContinuousClock.now)
        let interactive = Terminal.isInteractive && !output.json
        let report = try await store.verify(repair: repair) { progress in
            guard interactive else { return }
            bar.withLock { last in
                guard ContinuousClock.now - last > .milliseconds(100) else { return }
                last = .now
                Terminal.write("\r\u{1B}[K\(progress.objects) objects, \(progress.bytes.bytesText)", to: 2)
            }
        }
        if interactive { Terminal.write("\r\u{1B}[K", to: 2) }
        if output.json {
            try Terminal.json(Document(report))
        } else {
            for finding in report.findings { Terminal.output("\(finding)") }
            if report.findingCount > report.findings.count { Terminal.output("... and \(report.findingCount - report.findings.count) more") }
            let verdict = report.isSound ? "nothing wrong" : "the store is damaged\(repair ? "; what was moved is fetched again when it is needed" : "; larder verify --repair moves it out of the way")"
            Terminal.output("\(report.checked.objects) objects, \(report.checked.bytes.bytesText): \(verdict)")
        }
        if !report.isSound { throw ExitCode(Failure.Code.verification.rawValue) }
    }

    private struct Document: Encodable {
        struct Finding: Encodable {
            var kind: String
            var path: String
            var expected: String
            var found: String
            var quarantined: Bool
        }

        var sound: Bool
        var objects: Int
        var bytes: UInt64
        var findingCount: Int
        var findings: [Finding]

        init(_ report: VerifyReport) {
            sound = report.isSound
            objects = report.checked.objects
            bytes = report.checked.bytes
            findingCount = report.findingCount
            findings = report.findings.map {
                Finding(kind: "\($0.kind)", path: $0.path, expected: $0.expected, found: $0.found, quarantined: $0.isQuarantined)
            }
        }
    }
}
