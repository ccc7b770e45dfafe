"""Patients of the care platform, and what is kept of each: medications, conditions, consents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_

from mappers.care_rows import Patient, PatientCondition, PatientConsent, PatientMedication
from storage.repositories.table import FIRST, Page, TableRepository, Window


class PatientRepository(TableRepository[Patient]):
    """Rows of `patients`, with their enrollments and conditions."""

    table_name = "patients"

    async def by_medical_record_number(self, number: str) -> Patient | None:
        """Return the patient with this MRN, None when the organization has none."""
        found = await self._rows([self.table.c.medical_record_number == number])
        return found[0] if found else None

    async def list(self, *, is_active: bool | None = None, window: Window = FIRST) -> Page[Patient]:
        """Return patients, newest first."""
        return await self._page({"is_active": is_active}, window)


class PatientMedicationRepository(TableRepository[PatientMedication]):
    """Rows of `patient_medications`."""

    table_name = "patient_medications"

    async def list(
        self, *, patient_id: str | None = None, status: str | None = None, window: Window = FIRST
    ) -> Page[PatientMedication]:
        """Return medications, newest first."""
        return await self._page({"patient_id": patient_id, "status": status}, window)


class PatientConditionRepository(TableRepository[PatientCondition]):
    """Rows of `patient_conditions`."""

    table_name = "patient_conditions"

    async def list(
        self, *, patient_id: str | None = None, icd10: str | None = None, window: Window = FIRST
    ) -> Page[PatientCondition]:
        """Return conditions, newest first."""
        return await self._page({"patient_id": patient_id, "icd10": icd10}, window)


class PatientConsentRepository(TableRepository[PatientConsent]):
    """Rows of `patient_consents`."""

    table_name = "patient_consents"

    async def list(self, *, patient_id: str | None = None, window: Window = FIRST) -> Page[PatientConsent]:
        """Return consents, newest first, revoked ones too."""
        return await self._page({"patient_id": patient_id}, window)

    async def in_force(self, patient_id: str, consent_type: str, at: datetime) -> Sequence[PatientConsent]:
        """Return the consents of this type that were granted by `at` and not revoked before, in order of id."""
        columns = self.table.c
        conditions = [
            columns.patient_id == patient_id,
            columns.consent_type == consent_type,
            columns.granted_at <= at,
            or_(columns.revoked_at.is_(None), columns.revoked_at > at),
        ]
        return await self._rows(conditions, order=(columns.id,))
