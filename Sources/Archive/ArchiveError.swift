/// What is wrong with an archive, a compressed stream or a table of contents, and where.
public struct ArchiveError: Error, Sendable, CustomStringConvertible {
    public enum Reason: Sendable, Equatable {
        /// The input ends inside something.
        case truncated
        /// The input breaks the rules of its format.
        case malformed
        /// The input follows its format but asks for more than `ArchiveLimits` allow.
        case limitExceeded
        /// The format is known and not read by Larder.
        case unsupported
        /// The bytes are not the ones that were named.
        case digestMismatch
        /// The `ByteReader` below failed; `underlying` says how.
        case source
    }

    public let reason: Reason
    /// The thing in question, such as `entry 12 'usr/bin/env'`; empty where the whole input is meant.
    public let subject: String
    public let detail: String
    public let underlying: (any Error)?

    public init(_ reason: Reason, subject: String = "", _ detail: String, underlying: (any Error)? = nil) {
        self.reason = reason
        self.subject = subject
        self.detail = detail
        self.underlying = underlying
    }

    public var description: String { subject.isEmpty ? detail : subject + ": " + detail }

    /// The same error said of `subject`, unless it already names one.
    func about(_ subject: @autoclosure () -> String) -> ArchiveError {
        guard self.subject.isEmpty, reason != .source else { return self }
        return ArchiveError(reason, subject: subject(), detail, underlying: underlying)
    }

    /// Calls into a `ByteReader`, whose errors are its own business, and gives them a type.
    static func reading<Value>(_ body: () throws -> Value) throws(ArchiveError) -> Value {
        do {
            return try body()
        } catch let error as ArchiveError {
            throw error
        } catch {
            throw ArchiveError(.source, "reading the input failed: \(error)", underlying: error)
        }
    }
}

extension ArchiveError {
    /// An entry as messages show it: its number, counted from 1, and a name that is safe to print and not too long.
    static func label(entry number: Int, _ path: [UInt8]) -> String {
        path.isEmpty ? "entry \(number)" : "entry \(number) '\(printable(path))'"
    }

    /// The bytes in ASCII, all others as `\xNN`, shortened in the middle to about 100 characters.
    static func printable(_ bytes: [UInt8]) -> String {
        func shown(_ part: ArraySlice<UInt8>) -> String {
            part.reduce(into: "") { text, byte in
                if (0x20...0x7E).contains(byte), byte != UInt8(ascii: "\\"), byte != UInt8(ascii: "'") {
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
                }
            }
        }
        guard bytes.count > 100 else { return shown(bytes[...]) }
        return shown(bytes.prefix(60)) + "..." + shown(bytes.suffix(30)) + " (\(bytes.count) bytes)"
    }
}
