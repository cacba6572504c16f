import Store
import Testing

@testable import Caches

@Suite("Filters and quantities")
struct CacheFilterTests {
    private static let npm = subject("ci/npm", { $0.preset = "npm" }, idle: .seconds(3600 * 72))
    private static let apt = subject("apt", { $0.sharing = .locked; $0.policy.isPinned = true }, inUse: true, unclean: true)

    private static func subject(
        _ name: String, _ change: (inout CacheSettings) -> Void, inUse: Bool = false, unclean: Bool = false, idle: Duration = .zero
    ) -> CacheFilter.Subject {
        var settings = CacheSettings()
        change(&settings)
        return CacheFilter.Subject(name: CacheName(name)!, settings: settings, isInUse: inUse, isUnclean: unclean, idle: idle)
    }

    /// filter, whether npm passes, whether apt does
    private static let table: [(String, Bool, Bool)] = [
        ("id==apt", false, true), ("id=apt", false, true), ("id!=apt", true, false), ("id~=^ci/", true, false), ("id~=a.t$", false, true),
        ("inuse", false, true), ("unclean", false, true), ("pinned", false, true), ("mutable", true, true), ("addonly", false, false),
        ("shared", true, false), ("locked", false, true), ("private", false, false), ("sharing==locked", false, true),
        ("preset", true, false), ("preset==npm", true, false), ("preset!=npm", false, true), ("type==exec.cachemount", true, true),
        ("type==regular", false, false), ("description~=\"cache (ci/npm|apt)\"", true, true), ("until=48h", true, false), ("until=73h", false, false),
        ("shared,preset==npm", true, false), ("shared,inuse", false, false), ("id==\"apt\",locked", false, true), ("ID==apt", false, true),
        ("id~=\"^.{3}$\"", false, true), ("id==\"a,b\"", false, false),
    ]

    @Test(arguments: table)
    func filtersMeanWhatBuildKitsMean(_ filter: String, _ npm: Bool, _ apt: Bool) throws {
        let filter = try CacheFilter(filter)
        #expect(filter.accepts(Self.npm) == npm)
        #expect(filter.accepts(Self.apt) == apt)
    }

    @Test(arguments: [
        "", "nonsense", "id==a,", ",id==a", "id~=[", "id==\"a", "until", "until=x", "until!=48h", "inuse inuse", "parents==x", "id==a,,shared", "id\"x\"",
    ])
    func whatIsNoFilterIsRefused(_ text: String) {
        #expect(throws: CacheFilter.BadFilter.self) { try CacheFilter(text) }
    }

    @Test(arguments: [
        ("0", 0), ("64", 64), ("512m", 512 << 20), ("1g", 1 << 30), ("1.5 GiB", 3 << 29), ("2KB", 2048), ("1b", 1), ("7.9999e1", nil), ("-1", nil), ("1.", nil),
        (".5g", nil), ("1gg", nil), ("", nil), ("g", nil), ("9999999p", nil), ("1 0", nil), ("1..2", nil),
    ] as [(String, UInt64?)])
    func sizesAreBinary(_ text: String, _ bytes: UInt64?) { #expect(Quantity.bytes(text) == bytes) }

    @Test(arguments: [
        ("90", 90_000), ("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("7d", 604_800_000), ("0.5h", 1_800_000), ("0", 0), ("", nil), ("h", nil),
        ("1h30", nil), ("1w", nil), ("-5s", nil), ("1e9", nil), ("99999999d", nil), ("1 h", nil),
    ] as [(String, Int64?)])
    func durationsAddUp(_ text: String, _ milliseconds: Int64?) { #expect(Quantity.duration(text) == milliseconds.map { .milliseconds($0) }) }
}
