/// The platform of an image, as in image-spec's index and config: `linux/amd64`, `linux/arm/v7`.
public struct Platform: Hashable, Sendable, Codable, CustomStringConvertible {
    public var os: String
    public var architecture: String
    public var variant: String?

    public init(os: String, architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// Parses `OS/ARCH[/VARIANT]`, or `ARCH` alone for linux.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        switch parts.count {
        case 1: self.init(os: "linux", architecture: Self.normalized(parts[0]))
        case 2: self.init(os: parts[0], architecture: Self.normalized(parts[1]))
        case 3: self.init(os: parts[0], architecture: Self.normalized(parts[1]), variant: parts[2])
        default: return nil
        }
    }

    /// The platform this program was built for.
    public static var host: Platform {
        #if arch(x86_64)
        Platform(os: "linux", architecture: "amd64")
        #elseif arch(arm64)
        Platform(os: "linux", architecture: "arm64", variant: "v8")
        #elseif arch(arm)
        Platform(os: "linux", architecture: "arm", variant: "v7")
        #else
        Platform(os: "linux", architecture: "unknown")
        #endif
    }

    private static func normalized(_ architecture: String) -> String {
        switch architecture {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        default: architecture
        }
    }

    /// How well an image for `candidate` serves this platform: higher is better, nil is not at all. A missing variant on
    /// either side fits; arm runs lower variants of arm too.
    public func suitability(of candidate: Platform) -> Int? {
        guard os == candidate.os, architecture == candidate.architecture else { return nil }
        switch (variant, candidate.variant) {
        case let (mine, theirs) where mine == theirs: return 100
        case (nil, _), (_, nil): return 50
        case let (mine?, theirs?):
            guard architecture == "arm", let mine = Int(mine.dropFirst()), let theirs = Int(theirs.dropFirst()), theirs >= 0, theirs <= mine else { return nil }
            // Below a missing variant, however high the number is that somebody made up.
            return min(theirs, 9) + 40
        }
    }

    public var description: String { [os, architecture, variant].compactMap { $0 }.joined(separator: "/") }
}
