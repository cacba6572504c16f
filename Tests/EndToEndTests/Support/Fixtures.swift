import Glibc

/// The images that `Tests/Fixtures/make-image` makes once per machine.
struct Fixtures {
    /// Made by the first test that asks, which takes some minutes on a new machine.
    private static let made = Result {
        let output = try Program.check(["\(Checkout.fixtures)/make-image"], limit: 1800)
        return Fixtures(path: String(output.split(separator: "\n").last ?? ""))
    }

    static func shared() throws -> Fixtures { try made.get() }

    let path: String
    var registry: String { "\(path)/registry" }
    /// The directory that holds the OCI layout `small`.
    var layouts: String { path }
    var hostile: String { "\(path)/hostile" }

    func truth(_ name: String) -> String { "\(path)/truth/\(name).list" }

    /// Compares a tree with a listing; empty when they are equal, else the differences.
    static func differences(_ listing: String, _ tree: String, deviations: [String] = [], limit: Double = 300) throws -> String {
        // The attributes of the root are generic until it is entered for the first time: see README.
        _ = try Program.run(["ls", tree], limit: limit)
        let options = deviations.flatMap { ["--deviations", "\(Checkout.fixtures)/deviations/\($0)"] }
        let output = try Program.run(["\(Checkout.fixtures)/compare-trees", listing, tree] + options, limit: limit)
        return output.status == 0 ? "" : "compare-trees \(listing) \(tree)\n\(output.text)\(output.errors)"
    }
}
