import Caches
import Images
import OCI
import Remote
import Store

/// An error for the person at the terminal, with the exit code that says its kind.
struct Failure: Error {
    enum Code: Int32, Sendable {
        case failed = 1
        case notFound = 3
        case network = 4
        case verification = 5
        case usage = 64
        /// Somebody else has it now: EX_TEMPFAIL of sysexits.h.
        case inUse = 75
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ error: any Error) {
        self.init(Self.code(of: error), error is CancellationError ? "interrupted" : "\(error)")
    }
}

extension Failure {
    /// The exit code for an error of the layers below.
    static func code(of error: any Error) -> Code {
        switch error {
        case let error as RemoteError:
            switch error.kind {
            case .notFound: .notFound
            case .configuration: .usage
            default: .network
            }
        case is DeadlineExceeded: .network
        case ImageError.unknownReference, ImageError.unknownLayer, ImageError.unknownBlob, ImageError.noPlatform: .notFound
        case StoreError.missing: .notFound
        case let error as CacheError: code(of: error)
        case is CacheFilter.BadFilter: .usage
        default: .failed
        }
    }

    private static func code(of error: CacheError) -> Code {
        switch error {
        case .badName: .usage
        case .missing, .unknownLease: .notFound
        case .inUse, .timedOut: .inUse
        case .store(let error): code(of: error as any Error)
        default: .failed
        }
    }
}
