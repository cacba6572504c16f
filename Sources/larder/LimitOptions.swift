import ArgumentParser
import Store

/// How much the store may keep: options of the subcommands that fill it.
struct LimitOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The most that the store may take, such as 20g or 50% of its disk; what was unused longest goes.", valueName: "size"))
    var maxSize: String?

    @Option(name: .long, help: ArgumentHelp("What shall stay free on the store's disk.", valueName: "size"))
    var minFree: String?

    @Option(name: .long, help: ArgumentHelp("The most that compressed blobs may take.", valueName: "size"))
    var maxBlobs: String?

    @Option(name: .long, help: ArgumentHelp("The most that unpacked content may take.", valueName: "size"))
    var maxContent: String?

    /// These over those that are set already.
    func over(_ limits: StoreLimits) throws -> StoreLimits {
        StoreLimits(
            maxSize: try Self.amount(maxSize, "--max-size") ?? limits.maxSize, minFree: try Self.amount(minFree, "--min-free") ?? limits.minFree,
            maxBlobs: try Self.amount(maxBlobs, "--max-blobs") ?? limits.maxBlobs,
            maxContent: try Self.amount(maxContent, "--max-content") ?? limits.maxContent, reserved: limits.reserved)
    }

    static func amount(_ text: String?, _ name: String) throws -> StoreLimits.Amount? {
        try text.map { try Settings.value(of: name, $0, use: "a size such as 20g, or a share of the disk such as 50%", StoreLimits.Amount.init) }
    }
}
