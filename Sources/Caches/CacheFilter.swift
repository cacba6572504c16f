/// Which caches are meant: the filters of `buildctl prune` and `buildctl du` (containerd's grammar), on what a cache is here.
///
/// `FIELD` (is there, or is so), `FIELD==VALUE` (also `=`), `FIELD!=VALUE`, `FIELD~=REGEX`; commas mean and, several filters mean
/// or. A value with a comma is quoted: `"a,b"`.
public struct CacheFilter: Sendable {
    /// What a filter can ask for. A field that has no value is absent: `inuse` alone is true only for what is in use.
    public static let fields = [
        "addonly", "description", "id", "inuse", "locked", "mutable", "pinned", "preset", "private", "shared", "sharing", "type", "unclean", "until",
    ]

    public struct BadFilter: Error, Sendable, Equatable, CustomStringConvertible {
        public let description: String
    }

    private enum Test: Sendable {
        case present
        case equal(String)
        case unequal(String)
        case matching(Pattern)
        case idle(Duration)
    }

    /// Compiled once to see that it is right, and again where it is used: `Regex` is not Sendable.
    private struct Pattern: Sendable {
        let text: String

        init?(_ text: String) {
            guard (try? Regex(text)) != nil else { return nil }
            self.text = text
        }

        func matches(_ value: String) -> Bool { (try? Regex(text)).flatMap { try? $0.firstMatch(in: value) } != nil }
    }

    private var tests: [(field: String, test: Test)] = []

    /// - Throws: `BadFilter`, with what is known.
    public init(_ text: String) throws(BadFilter) {
        var rest = text[...]
        repeat {
            tests.append(try Self.takeTest(&rest))
        } while Self.take(",", &rest)
        guard rest.isEmpty else { throw BadFilter(description: "filter '\(text)': unexpected '\(rest.prefix(20))'") }
    }

    private static func takeTest(_ rest: inout Substring) throws(BadFilter) -> (field: String, test: Test) {
        let field = rest.prefix { $0.isASCII && ($0.isLetter || $0 == ".") }.lowercased()
        guard fields.contains(field) else {
            throw BadFilter(description: "filter field '\(rest.prefix { $0 != "," && $0 != "=" }.prefix(40))' is not known; known are \(fields.joined(separator: ", "))")
        }
        rest = rest.dropFirst(field.count)
        let test: Test
        if take("!=", &rest) {
            test = .unequal(try takeValue(&rest))
        } else if take("~=", &rest) {
            let value = try takeValue(&rest)
            guard let pattern = Pattern(value) else { throw BadFilter(description: "filter '\(field)~=\(value)': no regular expression") }
            test = .matching(pattern)
        } else if take("==", &rest) || take("=", &rest) {
            test = .equal(try takeValue(&rest))
        } else {
            test = .present
        }
        guard field == "until" else { return (field, test) }
        guard case .equal(let value) = test, let idle = Quantity.duration(value) else {
            throw BadFilter(description: "filter 'until' is until=DURATION, such as until=48h: unused for so long")
        }
        return (field, .idle(idle))
    }

    private static func takeValue(_ rest: inout Substring) throws(BadFilter) -> String {
        guard take("\"", &rest) else {
            let value = rest.prefix { $0 != "," }
            rest = rest.dropFirst(value.count)
            return String(value)
        }
        var value = ""
        while let character = rest.popFirst() {
            if character == "\"" { return value }
            // Escapes are for the quote and themselves; a regular expression keeps its own.
            if character == "\\", let next = rest.first, next == "\"" || next == "\\" {
                value.append(next)
                rest = rest.dropFirst()
            } else {
                value.append(character)
            }
        }
        throw BadFilter(description: "filter value \"\(value.prefix(40)) has no closing quote")
    }

    private static func take(_ text: String, _ rest: inout Substring) -> Bool {
        guard rest.hasPrefix(text) else { return false }
        rest = rest.dropFirst(text.count)
        return true
    }
}

extension CacheFilter {
    /// What the filter looks at.
    public struct Subject: Sendable {
        public var name: CacheName
        public var settings: CacheSettings
        public var isInUse: Bool
        public var isUnclean: Bool
        /// How long nobody has used it.
        public var idle: Duration

        public init(name: CacheName, settings: CacheSettings, isInUse: Bool, isUnclean: Bool, idle: Duration) {
            self.name = name
            self.settings = settings
            self.isInUse = isInUse
            self.isUnclean = isUnclean
            self.idle = idle
        }

        fileprivate func value(of field: String) -> String? {
            func flag(_ value: Bool) -> String? { value ? "true" : nil }
            return switch field {
            case "id": name.text
            case "type": "exec.cachemount"
            case "description": "cache \(name.text)"
            case "preset": settings.preset
            case "sharing": settings.sharing.rawValue
            case "shared", "private", "locked": flag(settings.sharing.rawValue == field)
            case "mutable": "true"
            case "inuse": flag(isInUse)
            case "unclean": flag(isUnclean)
            case "pinned": flag(settings.policy.isPinned)
            case "addonly": flag(settings.isAddOnly)
            default: nil
            }
        }
    }

    public func accepts(_ subject: Subject) -> Bool {
        tests.allSatisfy { field, test in
            let value = subject.value(of: field)
            switch test {
            case .present: return value?.isEmpty == false
            case .equal(let wanted): return value == wanted
            case .unequal(let unwanted): return value != unwanted
            case .matching(let pattern): return value.map(pattern.matches) ?? false
            case .idle(let duration): return subject.idle >= duration
            }
        }
    }
}
