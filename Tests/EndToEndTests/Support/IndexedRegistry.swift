import TestSupport

/// A registry that can be written to, with the fixtures' small image: `bare/small:gzip` as it is, `soci-1/small:gzip` and
/// `soci-2/small:gzip` with SOCI indexes of another encoder's making; and what `addAllForms` adds.
final class IndexedRegistry: Sendable {
    // Set up once; to stop it is its owner's business.
    nonisolated(unsafe) let registry: RealRegistry
    let fixtures: Fixtures
    private let storage: TemporaryDirectory

    var host: String { registry.host }
    var truth: String { fixtures.truth("small") }

    /// - Parameter damage: what is wrong with the SOCI indexes (see soci-encode).
    init(damage: String? = nil) throws {
        fixtures = try Fixtures.shared()
        storage = try TemporaryDirectory()
        registry = try RealRegistry(storage: storage.subdirectory("registry"), isWritable: true)
        try Self.sideBySide(["bare", "soci-1", "soci-2"].map { copy("\(fixtures.layouts)/small:gzip", "\($0)/small:gzip") })
        try Self.sideBySide(["1", "2"].map { version in
            ["\(Checkout.fixtures)/soci-encode", "push", "http://\(host)/soci-\(version)/small:gzip", "--index", version, "--span", "400000"]
                + (damage.map { ["--damage", $0] } ?? [])
        })
    }

    /// Adds `bare/small` as `estargz` and `zstdchunked`, `wide/small:gzip` with a layer that comes in pieces, `own/small:gzip` with
    /// Larder's index, and `known/small:gzip` with index and access profile.
    func addAllForms() throws {
        let layout = try storage.subdirectory("wide")
        try Program.check(["\(Checkout.fixtures)/make-wide", layout])
        try Self.sideBySide([
            copy("\(fixtures.layouts)/small:estargz", "bare/small:estargz"), copy("\(fixtures.layouts)/small:zstdchunked", "bare/small:zstdchunked"),
            copy("\(layout):gzip", "wide/small:gzip"), copy("\(fixtures.layouts)/small:gzip", "own/small:gzip"),
            copy("\(fixtures.layouts)/small:gzip", "known/small:gzip"),
        ])
        // The profile is what somebody has read here, which was everything.
        let reader = try MountedLarder(["--no-background-fill"])
        try Program.check(["\(Checkout.fixtures)/check-reads", truth, reader.rootfs("\(host)/known/small:gzip"), "1", "--in-order"])
        reader.stop()
        let pushed = try reader.larder("index", "push", "\(host)/known/small:gzip")
        guard pushed.status == 0, pushed.errors.contains("access profile of") else { throw Program.Failure(description: "no profile was pushed: \(pushed.errors)") }
        let bare = try reader.larder("index", "push", "--no-profile", "\(host)/own/small:gzip")
        guard bare.status == 0, !bare.errors.contains("access profile of") else { throw Program.Failure(description: "index push: \(bare.errors)") }
    }

    private func copy(_ layout: String, _ name: String) -> [String] {
        ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci:\(layout)", "docker://\(host)/\(name)"]
    }

    private static func sideBySide(_ commands: [[String]]) throws {
        for (words, program) in try commands.map({ ($0, try Program($0)) }) {
            let output = try program.wait()
            guard output.status == 0 else { throw Program.Failure(description: "\(words): exit \(output.status)\n\(output.text)\(output.errors)") }
        }
    }
}
